"""MFER, complete and tested, and an experiment framework for facial expression recognition.

Public names are imported when they are first used, so that ``import mfer_lightning`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfer_lightning.version import __version__

if TYPE_CHECKING:
    from mfer_lightning.inference.load import load_model
    from mfer_lightning.module import FERModule
    from mfer_lightning.nn.network import MFER

__all__ = ["MFER", "FERModule", "__version__", "load_model"]

_HOMES = {
    "FERModule": "mfer_lightning.module",
    "MFER": "mfer_lightning.nn.network",
    "load_model": "mfer_lightning.inference.load",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mfer_lightning' has no attribute '{name}'")
