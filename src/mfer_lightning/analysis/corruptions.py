"""Corrupt faces for the robustness suite: each change is a function of the face, an amount and random numbers.

The changes are implemented with OpenCV and NumPy. albumentations has many of them, but its radii and kernel sizes are
integers, which is too coarse for faces of 48 pixels, and its random state would have to be reset for each face.
:mod:`mfer_lightning.analysis.severities` defines the amounts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.geometry import BORDERS, warp
from mfer_lightning.data.seeding import STREAM_CHANGE, hashes
from mfer_lightning.errors import expect_choice

Face = NDArray[np.uint8]
Rng = np.random.Generator


class Change:
    """Apply one kind of change with a given amount. The result is the same in every process and for all models.

    The random numbers of a face depend on (seed, row, kind), not on the amount. All severities of a kind therefore
    start from the same random numbers, and all models see the same faces.

    Args:
        kind: a name in :data:`CHANGES`.
        amount: in the unit of the kind (:data:`~mfer_lightning.analysis.severities.TABLES`).
        seed: seed of the random numbers.
        border: how to fill pixels outside the image after a geometric change, as in alignment: black, edge or mirror.

    Raises:
        ValueError: for an unknown kind or border.

    Example:
        >>> faces = np.full((1, 8, 8, 3), 100, dtype=np.uint8)
        >>> out = Change("darkness", 0.2)(faces, 0, np.zeros(1, np.int64), np.zeros(1, np.int64))
        >>> int(out.max())
        49
    """

    def __init__(self, kind: str, amount: float, seed: int = 0, border: str = "black") -> None:
        expect_choice("kind", kind, CHANGES)
        expect_choice("border", border, BORDERS)
        self.kind = kind
        self.amount = amount
        self.seed = seed
        self.border = border

    def __call__(
        self, images: NDArray[np.uint8], seed: int, epoch: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Change a batch of faces.

        Args:
            images: (B,H,W,3), not modified.
            seed: ignored; the seed of this object is used.
            epoch: ignored.
            rows: (B,) row of each face in the index.

        Returns:
            (B,H,W,3) uint8.
        """
        del seed, epoch
        function = CHANGES[self.kind]
        stream = 64 * (STREAM_CHANGE + 1) + tuple(CHANGES).index(self.kind)
        numbers = hashes(self.seed, 0, rows, stream).tolist()
        out = np.empty_like(images)
        for i, number in enumerate(numbers):
            out[i] = function(images[i], self.amount, np.random.default_rng(number), self.border)
        return out


def gaussian_noise(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Add Gaussian noise. The amount is its standard deviation, where white is 1."""
    return _bytes(face + 255 * amount * rng.standard_normal(face.shape, dtype=np.float32))


def shot_noise(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Add photon (Poisson) noise. The amount is the expected number of photons of a white pixel."""
    return _bytes(rng.poisson(face / 255 * amount) / amount * 255)


def impulse_noise(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Set a fraction ``amount`` of the values to 0 or 255."""
    hit = rng.random(face.shape)
    return np.asarray(np.where(hit < amount, np.where(hit < amount / 2, 0, 255), face), dtype=np.uint8)


def defocus_blur(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Average over a disk. The amount is its radius in pixels, which need not be an integer."""
    return _filtered(face, _disk(amount))


def motion_blur(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Average along a centred straight line in a random direction. The amount is its length in pixels."""
    return _filtered(face, _line(amount, float(rng.uniform(0, np.pi))))


def zoom_blur(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Average the face with its magnifications by factors from 1 to ``amount``, in steps of 0.01."""
    height, width = face.shape[:2]
    total = face.astype(np.float64)
    zooms = np.arange(1, amount + 1e-9, 0.01)
    for zoom in zooms:
        matrix = _about_the_middle(height, width, float(zoom))
        total += cv2.warpAffine(face, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _bytes(total / (len(zooms) + 1))


def brightness(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Add ``amount`` to the value channel of HSV, where white is 1; a negative amount darkens."""
    value = face.max(axis=2, keepdims=True) / 255
    changed = np.clip(value + amount, 0, 1)
    # black pixels have no hue and become grey
    return _bytes(np.where(value > 0, face * (changed / np.maximum(value, 1 / 255)), 255 * changed))


def darkness(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Subtract ``amount`` from the value channel of HSV, where white is 1."""
    return brightness(face, -amount, rng, border)


def contrast(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Multiply the difference of each channel from its mean by ``amount``."""
    mean = face.mean(axis=(0, 1), keepdims=True)
    return _bytes((face - mean) * amount + mean)


def jpeg(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Compress as JPEG. The amount is the quality, 0 to 100."""
    _, encoded = cv2.imencode(".jpg", face[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(amount)])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[:, :, ::-1], dtype=np.uint8)


def pixelate(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Shrink to a fraction ``amount`` of the side by averaging, and enlarge again with nearest neighbours."""
    height, width = face.shape[:2]
    small = (max(1, int(width * amount)), max(1, int(height * amount)))
    shrunk = cv2.resize(face, small, interpolation=cv2.INTER_AREA)
    # INTER_NEAREST measures from the corners of pixels instead of their centres, which would also shift the face
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)


def resolution(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Shrink the shorter side to ``amount`` pixels by averaging, and enlarge again with bicubic interpolation."""
    height, width = face.shape[:2]
    share = amount / min(height, width)
    if share >= 1:
        return face
    small = (max(1, round(width * share)), max(1, round(height * share)))
    shrunk = cv2.resize(face, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def shift(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Shift the face by a fraction ``amount`` of the side, in a random direction."""
    height, width = face.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    matrix = np.array([[1.0, 0, amount * width * np.cos(angle)], [0, 1.0, amount * height * np.sin(angle)]])
    return warp(face, matrix, width, height, border)


def rotation(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Rotate the face by ``amount`` degrees about the centre, clockwise or counterclockwise at random."""
    height, width = face.shape[:2]
    turn = np.deg2rad(amount) * (1 if rng.random() < 0.5 else -1)
    return warp(face, _about_the_middle(height, width, 1.0, float(turn)), width, height, border)


def scale(face: Face, amount: float, rng: Rng, border: str) -> Face:
    """Scale the face by a factor ``amount`` about the centre."""
    height, width = face.shape[:2]
    return warp(face, _about_the_middle(height, width, amount), width, height, border)


_FUNCTIONS = (
    *(gaussian_noise, shot_noise, impulse_noise, defocus_blur, motion_blur, zoom_blur),
    *(brightness, darkness, contrast, jpeg, pixelate, resolution, shift, rotation),
)
#: All changes by name. The random numbers of a change depend on its position in this table.
CHANGES: Mapping[str, Callable[[Face, float, Rng, str], Face]] = MappingProxyType(
    {function.__name__: function for function in _FUNCTIONS} | {"larger": scale, "smaller": scale}
)


def mirror(
    images: NDArray[np.uint8], seed: int, epoch: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Mirror a batch (B,H,W,3), with the same signature as :class:`Change`; the other arguments are ignored."""
    del seed, epoch, rows
    return np.ascontiguousarray(images[:, :, ::-1])


def _bytes(values: NDArray[np.floating]) -> Face:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _filtered(face: Face, kernel: NDArray[np.float64]) -> Face:
    return _bytes(cv2.filter2D(face.astype(np.float64), -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def _about_the_middle(height: int, width: int, zoom: float, turn: float = 0.0) -> NDArray[np.float64]:
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


#: Subsamples per pixel and axis of a kernel, so that radii and lengths need not be integers.
_FINE = 16


@lru_cache(maxsize=64)
def _disk(radius: float) -> NDArray[np.float64]:
    """Return the normalised kernel of a disk. A disk of radius 0.5 or less fits into one pixel and has no effect."""
    half = int(np.ceil(radius))
    places = (np.arange((2 * half + 1) * _FINE) + 0.5) / _FINE - half - 0.5
    inside = (places[:, None] ** 2 + places[None, :] ** 2 <= max(radius, 1e-6) ** 2).astype(np.float64)
    kernel = inside.reshape(2 * half + 1, _FINE, 2 * half + 1, _FINE).sum(axis=(1, 3))
    if kernel.sum() == 0:
        kernel[half, half] = 1
    return np.asarray(kernel / kernel.sum())


def _line(length: float, angle: float) -> NDArray[np.float64]:
    """Return the normalised kernel of an anti-aliased line: each point is distributed over the four nearest pixels."""
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    steps = max(2, round(length * _FINE))
    t = (np.arange(steps) + 0.5) / steps * length - length / 2 if length > 0 else np.zeros(1)
    x, y = half + t * np.cos(angle), half + t * np.sin(angle)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - left, y - top
    for dx, dy, weight in ((0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy)):
        np.add.at(kernel, (top + dy, left + dx), weight)
    return np.asarray(kernel / kernel.sum())
