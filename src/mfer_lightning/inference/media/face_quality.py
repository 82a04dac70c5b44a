"""Mark faces that are too small or too blurred for their prediction to be trusted.

The limits come from the robustness card in docs/evaluation.md (synthetic faces, crops of 64 pixels, clean accuracy
75.2%). A resolution of 32 pixels reduces the accuracy by less than 1 point, 24 pixels by 3 points and 16 pixels by 17.
Defocus reduces it by 6 points at a radius of 2.5 pixels, and by 16 points at 3.5 pixels. The box of a face is about
0.72 times as wide as the crop, so 32 pixels in the crop correspond to 23 pixels in the box.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: Marks: good, too few pixels, too little detail.
GOOD, SMALL, BLURRED = "good", "small", "blurred"
QUALITIES = (GOOD, SMALL, BLURRED)

#: A face is small if the width or height of its box is below this, in pixels of the photo.
LEAST_BOX = 24
#: An already aligned face is small if a side is below this, in pixels.
LEAST_CROP = 32
#: A face is blurred if shrinking it to 24 pixels and enlarging it again loses less than this fraction of its variance.
#: Measured on faces in photos: 95% of the faces shrunk to 24 pixels, or defocused with a radius of 2.5 pixels at a side
#: of 64, lose less than this; 98% of the faces shrunk to 32 pixels lose more; sharp faces lose at least 1.2%.
LEAST_DETAIL = 0.005

_DETAIL_SIDE, _MEASURED_SIDE = 24, 64


def judge_face(crop: NDArray[np.uint8], box: tuple[float, float, float, float] | None) -> str:
    """Judge whether a face has enough pixels and detail.

    Args:
        crop: (H,W,3) uint8 RGB, the aligned face.
        box: x, y, width, height in the photo; None for an already aligned face.

    Returns:
        One of :data:`QUALITIES`.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        >>> judge_face(noise, (0, 0, 80, 90)), judge_face(noise, (0, 0, 19, 25))
        ('good', 'small')
        >>> judge_face(cv2.resize(noise[:6, :6], (64, 64), interpolation=cv2.INTER_CUBIC), (0, 0, 80, 90))
        'blurred'
    """
    if min(crop.shape[:2]) < LEAST_CROP if box is None else min(box[2:]) < LEAST_BOX:
        return SMALL
    return BLURRED if detail(crop) < LEAST_DETAIL else GOOD


def detail(crop: NDArray[np.uint8]) -> float:
    """Return the fraction of the variance that a face loses when it is shrunk to 24 pixels and enlarged again."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if min(grey.shape) > _MEASURED_SIDE:
        grey = cv2.resize(grey, (_MEASURED_SIDE, _MEASURED_SIDE), interpolation=cv2.INTER_AREA)
    small = cv2.resize(grey, (_DETAIL_SIDE, _DETAIL_SIDE), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, grey.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return float(((grey - back) ** 2).mean() / max(float(grey.var()), 1e-6))
