"""MFER, a network for facial expression recognition, and an experiment framework for this field.

Public names are imported lazily, so that ``import mfer_lightning`` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfer_lightning.lazy_names import lazy_name
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
    "FERModule": "module",
    "MFER": "nn.network",
    "Run": "inference.trained_run",
    "evaluate": "analysis.run",
    "export": "inference.export.run",
    "load_model": "inference.load",
    "models": "reporting.model_list",
    "predict": "inference.predict.run",
    "report": "reporting.run",
    "sweep": "training.from_python",
    "train": "training.from_python",
}


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
