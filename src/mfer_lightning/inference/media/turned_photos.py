"""Find faces in photos that are stored sideways or upside down, with positions in the photo before rotation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfer_lightning.align.aligner import AlignedFace, Aligner
from mfer_lightning.align.detectors import Detection
from mfer_lightning.align.geometry import Matrix, invert, transform_points
from mfer_lightning.inference.media.photos import Pixels


def align_turned(aligner: Aligner, image: Pixels) -> tuple[list[AlignedFace], int | None]:
    """Rotate a photo by 90, 180 and 270 degrees, and align the faces of the rotation with the most confident detection.

    Args:
        aligner: finds and aligns faces.
        image: (H,W,3) RGB.

    Returns:
        The faces, with positions in the original photo, and the degrees clockwise by which it was rotated; an empty
        list and None if no face was found.
    """
    found = {
        degrees: aligner.align(np.ascontiguousarray(np.rot90(image, -degrees // 90))) for degrees in (90, 180, 270)
    }
    sure = {degrees: max(face.detection.score for face in faces) for degrees, faces in found.items() if faces}
    if not sure:
        return [], None
    degrees = max(sure, key=sure.__getitem__)
    turn = _turn(degrees, image.shape[1], image.shape[0])
    return [_turned_back(face, turn) for face in found[degrees]], degrees


def _turn(degrees: int, width: int, height: int) -> Matrix:
    """Return the (2,3) matrix from the pixels of a photo to those of the photo rotated clockwise."""
    rows = {
        90: [[0, -1, height - 1], [1, 0, 0]],
        180: [[-1, 0, width - 1], [0, -1, height - 1]],
        270: [[0, 1, 0], [-1, 0, width - 1]],
    }
    return np.array(rows[degrees], dtype=np.float64)


def _turned_back(face: AlignedFace, turn: Matrix) -> AlignedFace:
    seen, back = face.detection, invert(turn)
    x, y, width, height = seen.box
    # a box is measured from the edge of the first pixel, half a pixel before its centre
    corners = transform_points(back, np.array([[x, y], [x + width, y + height]]) - 0.5) + 0.5
    (left, upper), (right, lower) = corners.min(0).tolist(), corners.max(0).tolist()
    detection = Detection(
        (left, upper, right - left, lower - upper), transform_points(back, seen.landmarks), seen.score
    )
    matrix = np.column_stack([face.matrix[:, :2] @ turn[:, :2], transform_points(face.matrix, turn[:, 2:].T)[0]])
    return replace(face, detection=detection, matrix=matrix)
