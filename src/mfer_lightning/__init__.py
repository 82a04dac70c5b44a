"""MFER, a network for facial expression recognition, and an experiment framework for this field.

Public names are imported lazily, so that ``import mfer_lightning`` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfer_lightning.version import __version__

if TYPE_CHECKING:
    from mfer_lightning.analysis.run import evaluate
    from mfer_lightning.inference.export.run import export
    from mfer_lightning.inference.load import load_model
    from mfer_lightning.inference.predict.run import predict
    from mfer_lightning.inference.trained_run import Run
    from mfer_lightning.module import FERModule
    from mfer_lightning.nn.network import MFER
    from mfer_lightning.reporting.model_list import models
    from mfer_lightning.reporting.run import report
    from mfer_lightning.training.from_python import sweep, train

__all__ = [
    "MFER", "FERModule", "Run", "__version__",
    "evaluate", "export", "load_model", "models", "predict", "report", "sweep", "train",
]  # fmt: skip

_HOMES = {
    "FERModule": "mfer_lightning.module",
    "MFER": "mfer_lightning.nn.network",
    "Run": "mfer_lightning.inference.trained_run",
    "evaluate": "mfer_lightning.analysis.run",
    "export": "mfer_lightning.inference.export.run",
    "load_model": "mfer_lightning.inference.load",
    "models": "mfer_lightning.reporting.model_list",
    "predict": "mfer_lightning.inference.predict.run",
    "report": "mfer_lightning.reporting.run",
    "sweep": "mfer_lightning.training.from_python",
    "train": "mfer_lightning.training.from_python",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mfer_lightning' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
