"""Fit similarity transforms to points, and warp images.

Umeyama: Least-squares estimation of transformation parameters between two point patterns, IEEE TPAMI 13(4), 1991.
Pixel coordinates are measured from the centre of the first pixel: (0, 0) is the centre of the top left pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import expect_choice

Points = NDArray[np.float64]
Matrix = NDArray[np.float64]
Image = NDArray[np.uint8]

#: How to fill pixels outside the photo.
BORDERS = {"black": cv2.BORDER_CONSTANT, "edge": cv2.BORDER_REPLICATE, "mirror": cv2.BORDER_REFLECT_101}


def similarity(source: Points, target: Points) -> Matrix:
    """Fit the rotation, uniform scale and translation that map points to target points, by least squares.

    Reflections are excluded: if one would fit better, the best proper rotation is returned.

    Args:
        source: (N,2) points x, y, N >= 2, not all the same.
        target: (N,2) target points.

    Returns:
        (2,3) matrix M, with ``target ~ M[:, :2] @ source + M[:, 2]``.

    Raises:
        ValueError: if shapes differ, a number is not finite, or all source points are the same.

    Example:
        >>> similarity(np.array([[0.0, 0], [1, 0]]), np.array([[2.0, 0], [2, 2]])).round(6)
        array([[ 0., -2.,  2.],
               [ 2.,  0.,  0.]])
    """
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 2:
        raise ValueError(
            f"Expected `source` and `target` to have the same shape (N, 2), N >= 2, but got {a.shape}, {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Expected `source` and `target` to be finite.")
    mean_a, mean_b = a.mean(0), b.mean(0)
    x, y = a - mean_a, b - mean_b
    variance = float((x**2).sum())
    if variance <= 1e-12:
        raise ValueError("Expected argument `source` to contain distinct points, but all are the same.")
    # In the plane, the best rotation and scale are one complex number: sum(conj(x) y) / sum(|x|^2).
    real, imaginary = float((x * y).sum()) / variance, float((x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0]).sum()) / variance
    turn = np.array([[real, -imaginary], [imaginary, real]])
    return np.column_stack([turn, mean_b - turn @ mean_a])


def invert(matrix: Matrix) -> Matrix:
    """Invert a (2,3) affine matrix.

    Raises:
        numpy.linalg.LinAlgError: if it is singular.
    """
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def transform_points(matrix: Matrix, points: Points) -> Points:
    """Apply a (2,3) matrix to (N,2) points."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float64)


def warp(image: Image, matrix: Matrix, width: int, height: int, border: str = "black") -> Image:
    """Resample an image under a similarity transform.

    If the transform shrinks the image, the image is low-pass filtered first, to avoid aliasing.

    Args:
        image: (H,W,3) uint8.
        matrix: (2,3) matrix from image pixels to output pixels.
        width: width of the output.
        height: height of the output.
        border: one of :data:`BORDERS`: how to fill pixels outside the photo.

    Returns:
        (height,width,3) uint8.

    Raises:
        ValueError: for an unknown border.
    """
    expect_choice("border", border, BORDERS)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 1:
        image, matrix = _shrunk(image, matrix, scale)
    out = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=BORDERS[border], borderValue=(0, 0, 0)
    )
    return np.asarray(out, dtype=np.uint8)


def _shrunk(image: Image, matrix: Matrix, scale: float) -> tuple[Image, Matrix]:
    """Shrink an image to the scale of the transform by averaging, and return it with the remaining transform."""
    height, width = image.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    ratio = np.array([small[0] / width, small[1] / height])
    back = np.column_stack([np.diag(1 / ratio), 0.5 / ratio - 0.5])  # pixel centres, from small to large
    return shrunk, np.column_stack([matrix[:, :2] @ back[:, :2], matrix[:, :2] @ back[:, 2] + matrix[:, 2]])
