"""A trained model from whatever a user has of it."""

from __future__ import annotations

from pathlib import Path

from mfer_lightning.inference.classifier import TorchClassifier
from mfer_lightning.inference.model import read_model
from mfer_lightning.inference.predictor import Predictor


def load_model(where: str | Path, device: str = "auto", *, batch_size: int = 64, flip: bool | None = None) -> Predictor:
    """Load a trained model that takes photos, without executing anything that its file holds.

    Args:
        where: a run's folder, or a checkpoint file.
        device: ``"auto"`` (a GPU where there is one), or a torch device, e.g. ``"cpu"`` or ``"cuda:1"``.
        batch_size: faces at a time.
        flip: average with the mirrored face; None: as the model's file says.

    Returns:
        The model: ``.predict(photos)``, ``.embed(photos)``, ``.class_names``.

    Raises:
        UserError: where there is no such model, or it is damaged, unsafe or of a newer version.
    """
    return Predictor(TorchClassifier(read_model(where, device), flip), batch_size=batch_size)
