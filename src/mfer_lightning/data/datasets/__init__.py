"""Datasets: one file per dataset, with its declaration, its reader and its Lightning datamodule.

To add one, write a subclass of :class:`FaceDataModule` with a class attribute ``info`` and a method ``read``, in this
folder or in your own package, and a file in ``conf/dataset`` that names the class. Every module of this folder is
imported, and its datamodules are exported from this package.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from mfer_lightning.data.datasets.base import FaceDataModule as FaceDataModule

if TYPE_CHECKING:
    from typing import Any

    def __getattr__(name: str) -> Any: ...


def _datamodules() -> dict[str, type[FaceDataModule]]:
    """Return the datamodules defined in the modules of this folder, by name."""
    found = {}
    for module in (import_module(f"{__name__}.{entry.name}") for entry in iter_modules(__path__)):
        for name, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, FaceDataModule) and value.__module__ == module.__name__:
                found[name] = value
    return found


_FOUND = _datamodules()
globals().update(_FOUND)

__all__ = sorted(_FOUND)
