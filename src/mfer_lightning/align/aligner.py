"""Detect the faces of a photo and align them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.detectors.base import Detection, Detector
from mfer_lightning.align.geometry import BORDERS, Matrix, similarity, transform_points, warp
from mfer_lightning.align.refine_landmarks import refine
from mfer_lightning.align.second_look import look_again
from mfer_lightning.align.templates import Template, get_template
from mfer_lightning.errors import check_number, expect_choice

#: Which faces of a photo to use.
CHOICES = ("largest", "surest", "central", "all")


@dataclass(frozen=True)
class AlignedFace:
    """An aligned face.

    Args:
        image: (height,width,3) uint8 RGB.
        detection: its location in the photo.
        matrix: (2,3) matrix from photo pixels to face pixels.
        residual: root mean square distance between the five landmarks and the template's points after the similarity
            transform, as a fraction of the crop's height.
    """

    image: NDArray[np.uint8]
    detection: Detection
    matrix: Matrix
    residual: float


class Aligner:
    """Detect faces and align them to a template with a similarity transform.

    Args:
        detector: face detector; see :func:`~mfer_lightning.align.detectors.build_detector`.
        template: a name in :data:`~mfer_lightning.align.templates.TEMPLATES`.
        size: height of the crops in pixels, at least 8; None: that of the template.
        margin: extra border on each side, as a fraction of the template's size, 0 to 2.
        faces: which faces of a photo to use, one of :data:`CHOICES`.
        refine: number of landmark refinements per face, at least 0 (:mod:`mfer_lightning.align.refine_landmarks`).
        border: how to fill pixels outside the photo: black, edge, mirror.
        detector_name: the detector's name in :meth:`to_config`.

    Raises:
        UserError: for an unknown template.
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        template: str = "face-evolve-112",
        size: int | None = None,
        margin: float = 0.0,
        faces: str = "largest",
        refine: int = 2,
        border: str = "black",
        detector_name: str = "mtcnn",
    ) -> None:
        expect_choice("faces", faces, CHOICES)
        expect_choice("border", border, BORDERS)
        self.detector = detector
        self.template: Template = get_template(template)
        self.points, self.width, self.height = self.template.scaled(size or self.template.height, margin)
        self.margin = margin
        self.faces = faces
        self.refine = check_number("refine", refine, 0)
        self.border = border
        self.detector_name = detector_name

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Detect all faces in an (H,W,3) RGB photo, with refined landmarks."""
        return [refine(self.detector, image, face, self.refine) for face in self.detector.detect(image)]

    def align(self, image: NDArray[np.uint8], *, second_look: bool = False) -> list[AlignedFace]:
        """Align the faces in a photo.

        Args:
            image: (H,W,3) RGB.
            second_look: detect with :func:`~mfer_lightning.align.second_look.look_again` instead, for photos in which
                the detector has found nothing.

        Returns:
            The chosen face, or all of them; empty if no face is found.
        """
        seen = look_again(self.detector, image) if second_look else self.detector.detect(image)
        return self.align_detections(image, seen)

    def align_detections(self, image: NDArray[np.uint8], found: list[Detection]) -> list[AlignedFace]:
        """Align detected faces.

        Args:
            image: (H,W,3) RGB, the photo.
            found: its faces.

        Returns:
            The chosen face, or all of them, with refined landmarks.
        """
        chosen = self.choose(found, image.shape[1], image.shape[0])
        return [self.crop(image, refine(self.detector, image, face, self.refine)) for face in chosen]

    def choose(self, found: list[Detection], width: int, height: int) -> list[Detection]:
        """Select faces according to ``faces``.

        Args:
            found: the faces of a photo.
            width: width of the photo in pixels.
            height: height of the photo in pixels.

        Returns:
            One face, or all of them for ``faces="all"``; empty if ``found`` is.
        """
        if self.faces == "all" or not found:
            return found

        def distance(face: Detection) -> float:
            x, y, w, h = face.box
            return math.hypot(x + w / 2 - width / 2, y + h / 2 - height / 2)

        key = {"largest": lambda d: -d.area, "surest": lambda d: -d.score, "central": distance}[self.faces]
        return [min(found, key=key)]

    def crop(self, image: NDArray[np.uint8], face: Detection) -> AlignedFace:
        """Align one face of an (H,W,3) RGB photo to the template.

        Raises:
            ValueError: if its landmarks are not finite or all the same.
        """
        matrix = similarity(face.landmarks, self.points)
        off = transform_points(matrix, face.landmarks) - self.points
        residual = float(np.sqrt((off**2).sum(1).mean()) / self.height)
        return AlignedFace(warp(image, matrix, self.width, self.height, self.border), face, matrix, residual)

    def to_config(self) -> dict[str, Any]:
        """Return the settings as plain values, to be stored with datasets and checkpoints."""
        return {
            "template": self.template.identity,
            "width": self.width,
            "height": self.height,
            "margin": self.margin,
            "detector": self.detector_name,
            "refine": self.refine,
            "border": self.border,
        }
