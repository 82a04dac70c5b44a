"""Augmentation of training faces: albumentations' transforms as a function of (seed, epoch, row).

Names are imported lazily, so albumentations is imported only if faces are augmented.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

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

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
