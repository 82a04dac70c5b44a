"""A second look at each face, upright and at one size, so that the result depends little on how it stood in the photo.

Detectors place landmarks differently on tilted, small or large faces, and some round to whole pixels. Here the face is
cut out upright as the first landmarks say, looked at again, and so on: the landmarks that repeat themselves no longer
depend on where the search began. Each look is taken at a few sizes and the median kept, which evens out rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.detection import Detection, Detector
from mfer_lightning.align.geometry import invert, similarity, transform_points, warp
from mfer_lightning.align.templates import get_template

#: Heights of the upright crops that a face is looked at in, in pixels.
LOOKS = (192, 224, 256)
MARGIN = 0.5


def refine(detector: Detector, image: NDArray[np.uint8], first: Detection, steps: int) -> Detection:
    """Look at a face again.

    Args:
        detector: finds faces.
        image: (H,W,3) RGB photo.
        first: the face as it was found in the photo.
        steps: how often the crop is cut anew after the landmarks of the last one; 0: not at all.

    Returns:
        The face with its landmarks refined; box and score stay those of the photo. Where it is not found again, what
        was known last is kept.
    """
    template = get_template("face-evolve-112")
    landmarks = first.landmarks
    for _ in range(steps):
        seen = []
        for size in LOOKS:
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
