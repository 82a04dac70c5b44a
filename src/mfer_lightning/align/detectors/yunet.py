"""YuNet: a small face detector, run by OpenCV's FaceDetectorYN. The user must provide the model file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.detectors.base import Declaration, Detection
from mfer_lightning.errors import UserError


class YuNetDetector:
    """The YuNet detector.

    Args:
        model: the ``face_detection_yunet_*.onnx`` file of the OpenCV model zoo.
        min_score: minimum confidence, 0 to 1.

    Raises:
        UserError: if the model is missing or cannot be read.
    """

    declaration: ClassVar[Declaration] = Declaration(
        name="yunet",
        paper="Wu, Peng, Yu: Machine Intelligence Research 20, 2023",
        licence="Apache 2.0 (OpenCV), MIT (weights of the OpenCV model zoo)",
        weights="provided by the user: face_detection_yunet_*.onnx from the OpenCV model zoo",
        landmarks="subpixel",
        needs="download face_detection_yunet from the OpenCV model zoo and use detector.model=<file>.",
    )

    def __init__(self, model: str | Path | None = None, min_score: float = 0.9) -> None:
        if model is None or not Path(model).expanduser().is_file():
            given = "none is given" if model is None else f"{model} does not exist"
            raise UserError(f"The detector yunet needs its model file ({given}): {self.declaration.needs}")
        try:
            self._net = cv2.FaceDetectorYN.create(str(Path(model).expanduser()), "", (320, 320), min_score)
        except cv2.error as error:
            raise UserError(
                f"{model} cannot be read as a YuNet model ({str(error).strip().splitlines()[-1]})."
            ) from error

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Detect the faces in an (H,W,3) RGB image, most confident first."""
        height, width = image.shape[:2]
        self._net.setInputSize((width, height))
        _, rows = self._net.detect(np.ascontiguousarray(image[:, :, ::-1]))
        found = []
        for row in [] if rows is None else np.asarray(rows, dtype=np.float64):
            # OpenCV returns the person's right eye first, which is the left one in the image.
            landmarks = row[4:14].reshape(5, 2)
            found.append(Detection((row[0], row[1], row[2], row[3]), landmarks, float(row[14])))
        return sorted(found, key=lambda d: -d.score)
