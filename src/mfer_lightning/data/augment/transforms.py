"""Transforms of albumentations that also change a whole batch of faces at once.

For a 48 px face albumentations took 78 microseconds (66 of them in ``Affine``) and 11 to 32 more to be reseeded. Flip,
warp and light on a batch take 22 in all, on the same CPU.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
from albumentations import ImageOnlyTransform
from numpy.typing import NDArray


class BatchTransform(ImageOnlyTransform):
    """Base of image-only transforms that are given by a few random numbers a face.

    In an ``albumentations.Compose`` the numbers come from albumentations' random state. In a list of transforms that
    :class:`~mfer_lightning.data.augment.Augment` runs they are a hash of (seed, epoch, row), and a batch is changed at
    once.

    Args:
        p: probability of applying it.
        limits: argument -> its value and the largest legal one; the smallest is 0.

    Raises:
        ValueError: if a value is outside its range.
    """

    #: Numbers of the random streams that its draws come from; different for each class.
    streams: ClassVar[tuple[int, ...]] = ()
    #: Number of the random stream that decides whether it is applied.
    stream_of_p: ClassVar[int] = 15

    def __init__(self, p: float, **limits: tuple[float, float]) -> None:
        for name, (value, most) in {**limits, "p": (p, 1)}.items():
            if not 0 <= value <= most:
                raise ValueError(f"Expected argument `{name}` within [0, {most}], but got {value}.")
            setattr(self, name, value)
        super().__init__(p=p)
        self.is_idle = not p or not any(value for value, _ in limits.values())

    @abstractmethod
    def change(self, images: NDArray[np.uint8], draws: Sequence[NDArray[np.float64]]) -> None:
        """Change a batch in place.

        Args:
            images: (B,H,W,C) uint8.
            draws: (B,) random numbers in [-1, 1), for each of ``streams``.
        """

    def get_params(self) -> dict[str, Any]:
        """Draw the numbers of one face."""
        return {"draws": [np.array([self.py_random.uniform(-1, 1)]) for _ in self.streams]}

    def apply(self, img: NDArray[np.uint8], draws: Sequence[NDArray[np.float64]], **params: Any) -> NDArray[np.uint8]:
        """Change one image, (H,W) or (H,W,C) uint8, as albumentations calls it."""
        batch = (img[:, :, 0] if img.shape[2:] == (1,) else img)[None].copy()  # OpenCV drops an axis of one channel
        self.change(batch, draws)
        changed: NDArray[np.uint8] = batch[0].reshape(img.shape)
        return changed


class RandomWarp(BatchTransform):
    """Shift, scale and rotate a face about its centre; what comes into view is mirrored at the border.

    Args:
        shift: it moves by up to this share of the side, either way on both axes; within [0, 1].
        scale: it grows or shrinks by up to this share; within [0, 0.99].
        rotate: it turns by up to this many degrees, either way; within [0, 180].
        p: probability of applying it.

    Raises:
        ValueError: if a number is outside its range.

    Example:
        >>> face = np.zeros((8, 8, 3), dtype=np.uint8)
        >>> RandomWarp(rotate=20)(image=face)["image"].shape
        (8, 8, 3)
    """

    streams = (0, 1, 2, 3)
    stream_of_p = 6

    shift: float
    scale: float
    rotate: float

    def __init__(self, shift: float = 0.0, scale: float = 0.0, rotate: float = 0.0, p: float = 1.0) -> None:
        super().__init__(p, shift=(shift, 1), scale=(scale, 0.99), rotate=(rotate, 180))

    def change(self, images: NDArray[np.uint8], draws: Sequence[NDArray[np.float64]]) -> None:
        """Warp each face of a batch in place."""
        height, width = images.shape[1:3]
        dx, dy, growth, turn = draws
        angle = np.deg2rad(self.rotate) * turn
        zoom = np.exp(np.log1p(self.scale) * growth)
        cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
        matrix = np.empty((len(images), 2, 3))
        matrix[:, 0, 0], matrix[:, 0, 1] = cos, sin
        matrix[:, 1, 0], matrix[:, 1, 1] = -sin, cos
        cx, cy = (width - 1) / 2, (height - 1) / 2  # the centre stays, apart from the shift
        matrix[:, 0, 2] = cx - cos * cx - sin * cy + self.shift * width * dx
        matrix[:, 1, 2] = cy + sin * cx - cos * cy + self.shift * height * dy
        for i in range(len(images)):
            images[i] = cv2.warpAffine(
                images[i], matrix[i], (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
            )


class RandomLight(BatchTransform):
    """Change brightness and contrast of a face; mid-grey is where contrast turns.

    Args:
        brightness: up to this share of 255 is added or taken away; within [0, 1].
        contrast: distances from mid-grey grow or shrink by up to this share; within [0, 1].
        p: probability of applying it.

    Raises:
        ValueError: if a number is outside its range.

    Example:
        >>> face = np.full((8, 8, 3), 100, dtype=np.uint8)
        >>> 74 <= int(RandomLight(brightness=0.1)(image=face)["image"].max()) <= 126
        True
    """

    streams = (4, 5)
    stream_of_p = 7

    brightness: float
    contrast: float

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, p: float = 1.0) -> None:
        super().__init__(p, brightness=(brightness, 1), contrast=(contrast, 1))

    def change(self, images: NDArray[np.uint8], draws: Sequence[NDArray[np.float64]]) -> None:
        """Change the light of each face of a batch in place."""
        up = 255 * self.brightness * draws[0]
        gain = 1 + self.contrast * draws[1]
        levels = np.arange(256)[None, :]
        tables = np.clip(np.rint((levels - 127.5) * gain[:, None] + 127.5 + up[:, None]), 0, 255).astype(np.uint8)
        for i in range(len(images)):
            cv2.LUT(images[i], tables[i], dst=images[i])
