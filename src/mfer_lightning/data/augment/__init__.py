"""Augmentation of training faces: albumentations' transforms as a function of (seed, epoch, row).

Names are imported lazily, so albumentations is imported only if faces are augmented.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mfer_lightning.lazy_names import lazy_name

if TYPE_CHECKING:
    from mfer_lightning.data.augment.build import build_augment as build_augment
    from mfer_lightning.data.augment.pipeline import Augment as Augment
    from mfer_lightning.data.augment.transforms import RandomLight as RandomLight
    from mfer_lightning.data.augment.transforms import RandomWarp as RandomWarp

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise, albumentations looks online for a newer version

_HOMES = {
    "Augment": "pipeline",
    "RandomLight": "transforms",
    "RandomWarp": "transforms",
    "build_augment": "build",
}

__all__ = [
    "Augment",
    "RandomLight",
    "RandomWarp",
    "build_augment",
]


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
