"""Augmentation of training faces: a function of (seed, epoch, row), never of the worker that applies it.

Presets: ``none``; ``paper`` (random horizontal flip, all that the MFER group states); ``standard`` (flip, small shifts,
scales and rotations, light changes of brightness and contrast); ``strong`` (standard, then two operations drawn from a
pool in the manner of RandAugment, Cubuk et al. 2020, and random erasing, Zhong et al. 2020). The last two presets'
values are ours.

Flip, warp and light are implemented here on whole batches: for a 48 px face albumentations took 78 microseconds (66 of
them in ``Affine``) and 11 to 32 more to be reseeded, this file takes 22 in all, on the same CPU. Everything else is
albumentations, with strict arguments, and with its random state set for every face, since ``seed_everything`` does not
reach it and forked workers share its state.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.seeding import STREAM_AUGMENT, STREAM_FLIP, hashes, uniforms
from mfer_lightning.errors import UserError, nearest

#: One transform of albumentations: its ``name`` and arguments, and for ``OneOf``/``SomeOf`` its own ``transforms``.
TransformSpec = Mapping[str, Any]

_POOL: tuple[TransformSpec, ...] = (
    {"name": "ColorJitter", "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05, "p": 1.0},
    {"name": "AutoContrast", "p": 1.0},
    {"name": "Equalize", "p": 1.0},
    {"name": "Posterize", "num_bits": [4, 6], "p": 1.0},
    {"name": "Sharpen", "alpha": [0.1, 0.5], "lightness": [0.8, 1.0], "p": 1.0},
    {"name": "GaussianBlur", "blur_limit": [3, 3], "sigma_limit": [0.3, 1.2], "p": 1.0},
    {"name": "GaussNoise", "std_range": [0.02, 0.08], "p": 1.0},
    {"name": "RandomGamma", "gamma_limit": [70, 140], "p": 1.0},
    {"name": "ToGray", "p": 1.0},
)
_ERASE: TransformSpec = {
    "name": "CoarseDropout",
    "num_holes_range": [1, 1],
    "hole_height_range": [0.15, 0.4],
    "hole_width_range": [0.15, 0.4],
    "fill": "random_uniform",
    "p": 0.4,
}
_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "paper": {"flip": 0.5},
    "standard": {"flip": 0.5, "shift": 0.06, "scale": 0.1, "rotate": 12.0, "brightness": 0.15, "contrast": 0.2},
    "strong": {
        "flip": 0.5,
        "shift": 0.08,
        "scale": 0.15,
        "rotate": 15.0,
        "brightness": 0.15,
        "contrast": 0.2,
        "transforms": ({"name": "SomeOf", "n": 2, "replace": False, "p": 0.8, "transforms": _POOL}, _ERASE),
    },
}

#: The presets' names.
AUGMENTATIONS = tuple(_PRESETS)


@dataclass(kw_only=True, eq=False)
class Augment:
    """A random change of faces that is a function of (seed, epoch, row).

    Args:
        flip: probability of mirroring.
        shift: the face moves by up to this share of the side, either way on both axes.
        scale: it grows or shrinks by up to this share.
        rotate: it turns by up to this many degrees, either way.
        brightness: up to this share of 255 is added or taken away.
        contrast: distances from mid-grey grow or shrink by up to this share.
        transforms: further transforms of albumentations, applied to each face in turn.

    Raises:
        ValueError: where a number is outside its range.
        UserError: where albumentations knows no such transform or argument.

    Example:
        >>> faces = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
        >>> mirrored = faces[:, :, ::-1].copy()
        >>> out = Augment(flip=1.0)(faces, seed=0, epoch=np.zeros(2, dtype=np.int64), rows=np.arange(2))
        >>> bool((out == mirrored).all())
        True
    """

    flip: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    rotate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    transforms: Sequence[TransformSpec] = ()

    def __post_init__(self) -> None:
        highest = {"flip": 1, "shift": 1, "scale": 0.99, "rotate": 180, "brightness": 1, "contrast": 1}
        for name, most in highest.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"Expected argument `{name}` within [0, {most}], but got {getattr(self, name)}.")
        self._pipeline: tuple[Any, np.random.Generator, random.Random] | None = None
        self._build()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pipeline": None}  # built again where it is used

    def __call__(
        self, images: NDArray[np.uint8], seed: int, epoch: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Augment a batch.

        Args:
            images: (B,H,W,3); may be changed in place.
            seed: the run's.
            epoch: (B,) the epoch of each visit.
            rows: (B,) row of each face in the index.

        Returns:
            (B,H,W,3) uint8.
        """
        if self.flip:
            mirrored = uniforms(seed, epoch, rows, STREAM_FLIP) < self.flip
            images[mirrored] = images[mirrored, :, ::-1]
        if self.shift or self.scale or self.rotate:
            self._warp(images, seed, epoch, rows)
        if self.brightness or self.contrast:
            self._light(images, seed, epoch, rows)
        pipeline = self._build()
        if pipeline is not None:
            compose, generator, python_random = pipeline
            seeds = hashes(seed, epoch, rows, STREAM_AUGMENT)
            for i, number in enumerate(seeds.tolist()):
                _reseed(generator, python_random, number)
                image = compose(image=images[i])["image"]
                if image.dtype != np.uint8 or image.shape != images[i].shape:
                    raise UserError(
                        f"augment.transforms must give uint8 images of {images[i].shape}, but gave {image.dtype} of "
                        f"{image.shape}: normalising and resizing belong to `preprocess`."
                    )
                images[i] = image
        return images

    def _warp(self, images: NDArray[np.uint8], seed: int, epoch: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        height, width = images.shape[1:3]
        dx, dy, growth, turn = (_symmetric(seed, epoch, rows, k) for k in range(4))
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

    def _light(self, images: NDArray[np.uint8], seed: int, epoch: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        up = 255 * self.brightness * _symmetric(seed, epoch, rows, 4)
        gain = 1 + self.contrast * _symmetric(seed, epoch, rows, 5)
        levels = np.arange(256)[None, :]
        tables = np.clip(np.rint((levels - 127.5) * gain[:, None] + 127.5 + up[:, None]), 0, 255).astype(np.uint8)
        for i in range(len(images)):
            cv2.LUT(images[i], tables[i], dst=images[i])

    def _build(self) -> tuple[Any, np.random.Generator, random.Random] | None:
        if self._pipeline is None and self.transforms:
            os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
            import albumentations

            steps = [_transform(albumentations, spec) for spec in self.transforms]
            compose = albumentations.Compose(steps, strict=True)
            generator, python_random = np.random.Generator(np.random.PCG64(0)), random.Random(0)
            compose.set_random_state(generator, python_random)
            self._pipeline = compose, generator, python_random
        return self._pipeline


def build_augment(spec: str | Mapping[str, Any] | None) -> Augment | None:
    """Build an augmentation by name or description.

    Args:
        spec: a name of :data:`AUGMENTATIONS`; or a mapping with ``name`` (a preset to start from; default ``none``) and
            arguments of :class:`Augment` that replace the preset's, e.g. ``{"name": "standard", "rotate": 20}``.

    Returns:
        The augmentation; None where it does nothing.

    Raises:
        UserError: for unknown names or arguments, and illegal values.

    Example:
        >>> build_augment("paper").flip, build_augment({"name": "standard", "rotate": 20}).rotate, build_augment("none")
        (0.5, 20, None)
    """
    given = {"name": spec or "none"} if spec is None or isinstance(spec, str) else dict(spec)
    name = given.pop("name", "none")
    if name not in _PRESETS:
        raise UserError(f"augment={name} is no augmentation: {nearest(str(name), _PRESETS)}")
    options = {**_PRESETS[name], **given}
    legal = [field.name for field in fields(Augment)]
    for option in options:
        if option not in legal:
            raise UserError(f"augment.{option} is no option of the augmentation: {nearest(option, legal)}")
    if not any(options.values()):
        return None
    try:
        return Augment(**options)
    except (ValueError, TypeError) as error:
        raise UserError(f"augment: {error}") from error


def _symmetric(seed: int, epoch: NDArray[np.int64], rows: NDArray[np.int64], which: int) -> NDArray[np.float64]:
    """Numbers in [-1, 1), one a face, for the ``which``-th property."""
    return 2 * uniforms(seed, epoch, rows, 16 * (STREAM_AUGMENT + 1) + which) - 1


def _reseed(generator: np.random.Generator, python_random: random.Random, number: int) -> None:
    """Set both generators to a state made of 64 bits; writing PCG64's state takes a quarter of making a new one."""
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, "inc": 2 * number + 1},
        "has_uint32": 0,
        "uinteger": 0,
    }
    generator.bit_generator.random_raw(2)  # the first output after a state with few bits would still show them
    python_random.seed(number)


def _transform(library: Any, spec: TransformSpec) -> Any:
    """Build one transform; lists become tuples, as configuration files know no tuples."""
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()}
    name = options.pop("name", None)
    kind = getattr(library, name, None) if isinstance(name, str) and not name.startswith("_") else None
    base = (library.BasicTransform, library.BaseCompose)
    if not (isinstance(kind, type) and issubclass(kind, base)):
        known = [
            n for n in dir(library) if isinstance(getattr(library, n), type) and issubclass(getattr(library, n), base)
        ]
        raise UserError(f"augment.transforms: {name!r} is no transform of albumentations: {nearest(str(name), known)}")
    if "transforms" in options:
        options["transforms"] = [_transform(library, inner) for inner in options["transforms"]]
    try:
        if issubclass(kind, library.BasicTransform):
            options["strict"] = True
        return kind(**options)
    except (ValueError, TypeError) as error:
        raise UserError(f"augment.transforms, {name}: {' '.join(str(error).split())}") from error
