"""The LightningModule, and what it needs in anybody's Trainer: metrics, meeting a datamodule, loading, progress."""

from mfer_lightning.module.fer_module import CHECKPOINT_FORMAT, FERModule
from mfer_lightning.module.metrics import build_metrics, class_scores

__all__ = ["CHECKPOINT_FORMAT", "FERModule", "build_metrics", "class_scores"]
