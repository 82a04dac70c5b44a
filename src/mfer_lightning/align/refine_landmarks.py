"""Refine landmarks: detect each face again in an upright crop, to reduce the effect of its pose in the photo.

Detectors place landmarks differently on tilted, small or large faces, and some round them to whole pixels. In each
step, the face is cropped upright according to its current landmarks and detected again. Once the landmarks converge,
they no longer depend on the first detection. Each step takes the median over several crop sizes, which reduces rounding
errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.detectors.base import Detection, Detector
from mfer_lightning.align.geometry import invert, similarity, transform_points, warp
from mfer_lightning.align.templates import get_template

#: Heights of the upright crops, in pixels.
CROP_HEIGHTS = (192, 224, 256)
MARGIN = 0.5


def refine(detector: Detector, image: NDArray[np.uint8], first: Detection, steps: int) -> Detection:
    """Refine the landmarks of a face.

    Args:
        detector: face detector.
        image: (H,W,3) RGB photo.
        first: the face as detected in the photo.
        steps: number of refinement steps; 0: none.

    Returns:
        The face with refined landmarks; box and score are those in the photo. If it is not found again, its latest
        landmarks are kept.
    """
    template = get_template("face-evolve-112")
    landmarks = first.landmarks
    for _ in range(steps):
        seen = []
        for size in CROP_HEIGHTS:
            points, width, height = template.scaled(size, MARGIN)
            try:
                matrix = similarity(landmarks, points)
            except ValueError:
                return Detection(first.box, landmarks, first.score)
            crop = warp(image, matrix, width, height, "edge")
            faces = detector.detect(crop)
            if faces:
                centre = points.mean(0)
                nearest = min(faces, key=lambda d: float(np.abs(d.landmarks.mean(0) - centre).sum()))
                if np.abs(nearest.landmarks.mean(0) - centre).max() < size / 8:
                    seen.append(transform_points(invert(matrix), nearest.landmarks))
        if not seen:
            break
        landmarks = np.median(np.stack(seen), axis=0)
    return Detection(first.box, landmarks, first.score)
