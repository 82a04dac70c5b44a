"""Search again for faces that fill a photo or extend beyond it, with a border and a lower threshold.

Detectors are trained on faces with background around them. They often miss a face that is cut off at the chin or the
forehead, but find it if a border that repeats the edge pixels is added to the photo. This second detection pass is only
for photos in which the first pass found nothing: it never replaces a detection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.detectors.base import Detection, Detector

#: Width of the border, as a fraction of the photo's longer side.
BORDER = 0.15


def look_again(detector: Detector, image: NDArray[np.uint8]) -> list[Detection]:
    """Detect the faces in a photo after adding a border.

    Args:
        detector: if it has a method ``detect_faint``, that method is used, to find faces with a lower confidence.
            Otherwise, ``detect`` is used.
        image: (H,W,3) RGB, the photo.

    Returns:
        Faces whose centre is in the photo, in photo coordinates; boxes may extend beyond it.
    """
    height, width = image.shape[:2]
    pad = round(BORDER * max(height, width))
    padded = np.asarray(cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE), dtype=np.uint8)
    find: Callable[[NDArray[np.uint8]], list[Detection]] = getattr(detector, "detect_faint", detector.detect)
    moved = [_moved(face, -pad) for face in find(padded)]
    return [face for face in moved if _inside(face, width, height)]


def _moved(face: Detection, by: float) -> Detection:
    x, y, width, height = face.box
    return replace(face, box=(x + by, y + by, width, height), landmarks=face.landmarks + by)


def _inside(face: Detection, width: int, height: int) -> bool:
    x, y, w, h = face.box
    return 0 <= x + w / 2 < width and 0 <= y + h / 2 < height
