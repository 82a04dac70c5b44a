"""The LightningModule and its parts: metrics, datamodule checks, checkpoint loading, progress bar."""

from mfer_lightning.module.fer_module import CHECKPOINT_FORMAT, FERModule
from mfer_lightning.module.metrics import build_metrics, class_scores

__all__ = ["CHECKPOINT_FORMAT", "FERModule", "build_metrics", "class_scores"]
