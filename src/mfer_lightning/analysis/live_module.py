"""Evaluate a network that is in memory, and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from mfer_lightning.errors import UserError
from mfer_lightning.inference.classifier import TorchClassifier
from mfer_lightning.inference.model import FERModel, choose_device
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.module import FERModule

#: What can be evaluated without a file.
InMemory = FERModule | FERModel | Predictor


@contextmanager
def as_model(given: str | PathLike[str] | InMemory, device: str) -> Iterator[str | PathLike[str] | FERModel]:
    """Give a block the model of something in memory, in evaluation mode on a device; paths are handed on.

    Args:
        given: a module of ours, a loaded model, or a path.
        device: ``"auto"``, or a torch device.

    Raises:
        UserError: for a predictor whose network is not at hand (an ONNX file).
    """
    if not isinstance(given, (FERModule, FERModel, Predictor)):
        yield given
        return
    if isinstance(given, FERModule):
        modes = {part: part.training for part in given.modules()}
        model = FERModel(given.network, given.preprocess, given.class_names, given.metadata)  # type: ignore[arg-type]
    else:
        model, modes = _loaded(given), {}
    home = model.device
    try:
        yield model.to(choose_device(device))
    finally:
        model.to(home)
        for part, mode in modes.items():
            part.training = mode


def _loaded(given: FERModel | Predictor) -> FERModel:
    if isinstance(given, FERModel):
        return given
    if not isinstance(given.classifier, TorchClassifier):
        raise UserError("A model of an ONNX file cannot be evaluated here: evaluate the checkpoint that it came from.")
    return given.classifier.model
