"""Apply albumentations transforms to a batch as a function of (seed, epoch, row).

The random state is set for every face, because ``seed_everything`` does not affect albumentations, and forked workers
would share its state. Flips and the transforms in :mod:`mfer_lightning.data.augment.transforms` process a whole batch
at once.
"""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.augment.transforms import BatchTransform
from mfer_lightning.data.seeding import STREAM_AUGMENT, STREAM_FLIP, hashes, uniforms
from mfer_lightning.errors import UserError

#: Types that a pipeline may contain.
BASES = (albumentations.BasicTransform, albumentations.BaseCompose)

#: Number of random images in :meth:`Augment.try_out`.
_TRIAL = 32

#: Offset between the random streams of the first, second, ... transform of the same class in a pipeline.
_AGAIN = 1 << 20

_Stage = Callable[[NDArray[np.uint8], int, NDArray[np.int64], NDArray[np.int64]], None]


class Augment:
    """A random augmentation that depends on (seed, epoch, row), but not on the worker.

    Args:
        transforms: albumentations transforms that need no input other than the image, as a list or as a mapping from
            names, applied in this order. They are copied.

    Raises:
        ValueError: if an entry is not a transform, or was given an unknown argument.

    Example:
        >>> faces = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
        >>> mirrored = faces[:, :, ::-1].copy()
        >>> augment = Augment([albumentations.HorizontalFlip(p=1.0)])
        >>> out = augment(faces, seed=0, epoch=np.zeros(2, dtype=np.int64), rows=np.arange(2))
        >>> bool((out == mirrored).all())
        True
    """

    def __init__(self, transforms: Mapping[str, Any] | Sequence[Any]) -> None:
        if not isinstance(transforms, Mapping):
            transforms = {f"transforms[{i}]": transform for i, transform in enumerate(transforms)}
        for name, transform in transforms.items():
            if not isinstance(transform, BASES):
                raise ValueError(
                    "Expected argument `transforms` to contain albumentations transforms, "
                    f"but got {type(transform).__name__} as {name}."
                )
        self._named: dict[str, Any] = copy.deepcopy(dict(transforms))
        self._whole = albumentations.Compose(list(self._named.values()), strict=True)
        self._stages = _stages(self._named)

    def __call__(
        self, images: NDArray[np.uint8], seed: int, epoch: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Augment a batch.

        Args:
            images: (B,H,W,3); may be changed in place.
            seed: random seed of the run.
            epoch: (B,) epoch of each face.
            rows: (B,) row of each face in the index.

        Returns:
            (B,H,W,3) uint8.

        Raises:
            UserError: if a transform fails, or returns images of another size or type.
        """
        for stage in self._stages:
            stage(images, seed, epoch, rows)
        return images

    def __bool__(self) -> bool:
        """Whether the augmentation has any effect."""
        return bool(self._stages)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={t!r}' for n, t in self._named.items())})"

    def try_out(self, size: int) -> None:
        """Run the per-face transforms on a few random images, to detect errors early.

        Args:
            size: side of the images in pixels.

        Raises:
            UserError: if a transform fails, or returns images of another size or type.
        """
        pictures = np.random.default_rng(0).integers(0, 256, (_TRIAL, size, size, 3), dtype=np.uint8)
        for stage in self._stages:
            if isinstance(stage, _PerFace):
                stage(pictures, 0, np.zeros(_TRIAL, dtype=np.int64), np.arange(_TRIAL))

    def to_dict(self) -> dict[str, Any]:
        """Describe the pipeline with plain values, like ``albumentations.to_dict``.

        If albumentations cannot describe it, e.g. because of an unnamed ``Lambda``, only the classes are listed.
        """
        try:
            described = self._whole.to_dict()
        except (NotImplementedError, ValueError):
            classes = [{"__class_fullname__": t.get_class_fullname()} for t in self._named.values()]
            whole = {"__class_fullname__": "Compose", "transforms": classes}
            described = {"__version__": albumentations.__version__, "transform": whole}
        plain: dict[str, Any] = json.loads(json.dumps(described, default=str))
        return plain


def _stages(named: Mapping[str, Any]) -> list[_Stage]:
    """Split a pipeline into transforms for whole batches and the per-face transforms between them."""
    stages: list[_Stage] = []
    between: dict[str, Any] = {}
    count: Counter[type] = Counter()

    def close() -> None:
        if any(transform.p for transform in between.values()):
            stages.append(_PerFace(dict(between), _AGAIN * count[_PerFace]))
            count[_PerFace] += 1
        between.clear()

    for name, transform in named.items():
        mirrors = type(transform) is albumentations.HorizontalFlip
        if not mirrors and not isinstance(transform, BatchTransform):
            between[name] = transform
        elif transform.p and not getattr(transform, "is_idle", False):
            close()
            stage = _mirror if mirrors else _change
            stages.append(partial(stage, transform, _AGAIN * count[type(transform)]))
        count[type(transform)] += 1
    close()
    return stages


def _mirror(
    transform: Any,
    again: int,
    images: NDArray[np.uint8],
    seed: int,
    epoch: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> None:
    mirrored = uniforms(seed, epoch, rows, STREAM_FLIP + again) < transform.p
    for position in np.flatnonzero(mirrored):  # OpenCV flips 3-byte pixels much faster than NumPy
        images[position] = cv2.flip(images[position], 1)


def _change(
    transform: BatchTransform,
    again: int,
    images: NDArray[np.uint8],
    seed: int,
    epoch: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> None:
    first = 16 * (STREAM_AUGMENT + 1) + again
    draws = [2 * uniforms(seed, epoch, rows, first + which) - 1 for which in transform.streams]
    if transform.p == 1:
        transform.change(images, draws)
        return
    chosen = uniforms(seed, epoch, rows, first + transform.stream_of_p) < transform.p
    some = images[chosen]
    transform.change(some, [numbers[chosen] for numbers in draws])
    images[chosen] = some


class _PerFace:
    """Albumentations transforms that are applied to one face at a time; the random state is set for each face."""

    def __init__(self, named: Mapping[str, Any], again: int) -> None:
        self._named = named
        self._stream = STREAM_AUGMENT + again
        self._compose = albumentations.Compose(list(named.values()), strict=True)
        self._generator, self._random = np.random.Generator(np.random.PCG64(0)), random.Random(0)
        self._compose.set_random_state(self._generator, self._random)

    def __call__(self, images: NDArray[np.uint8], seed: int, epoch: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        for i, number in enumerate(hashes(seed, epoch, rows, self._stream).tolist()):
            _reseed(self._generator, self._random, number)
            try:
                image = np.asarray(self._compose(image=images[i])["image"])
            except Exception as error:
                raise UserError(self._fault(images[i]) or f"augment: {_said(error)}") from error
            if image.dtype != np.uint8 or image.shape != images[i].shape:
                raise UserError(self._fault(images[i]) or f"augment: {_unfit(image, images[i])}")
            images[i] = image

    def _fault(self, face: NDArray[np.uint8]) -> str | None:
        """Return an error that names the transform that fails on a face; None if each transform works on its own."""
        for name, transform in self._named.items():
            where = f"augment.{name}, {type(transform).__name__}:"
            try:
                image = np.asarray(transform(image=face.copy(), force_apply=True)["image"])
            except Exception as error:
                return f"{where} {_said(error)}"
            if image.dtype != np.uint8 or image.shape != face.shape:
                return f"{where} {_unfit(image, face)}"
        return None


def _said(error: Exception) -> str:
    said = " ".join(str(error).split())[:300].rstrip(".")
    return f"it fails on a face ({type(error).__name__}: {said}). Transforms must not need inputs other than the image."


def _unfit(image: NDArray[Any], face: NDArray[np.uint8]) -> str:
    return (
        f"an augmentation must return {face.dtype} images of shape {face.shape}, but this one returned {image.dtype} "
        f"of shape {image.shape}. Use the options of `preprocess` to normalise and resize images."
    )


def _reseed(generator: np.random.Generator, python_random: random.Random, number: int) -> None:
    """Set the state of both generators from 64 bits, four times as fast as creating a new PCG64."""
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, "inc": 2 * number + 1},
        "has_uint32": 0,
        "uinteger": 0,
    }
    generator.bit_generator.random_raw(2)  # the first outputs after a state with few set bits are not random enough
    python_random.seed(number)
