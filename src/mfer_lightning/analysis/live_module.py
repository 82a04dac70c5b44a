"""Evaluate a network in memory, without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from mfer_lightning.errors import UserError
from mfer_lightning.inference.classifier import TorchClassifier
from mfer_lightning.inference.model import FERModel, choose_device
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.module import FERModule

#: Types that can be evaluated without a file.
InMemory = FERModule | FERModel | Predictor


@contextmanager
def as_model(given: str | PathLike[str] | InMemory, device: str) -> Iterator[str | PathLike[str] | FERModel]:
    """Yield the model of an object in memory, in evaluation mode on a device; yield paths unchanged.

    At the end of the block, the model is moved back, and the training modes of its modules are restored.

    Args:
        given: a ``FERModule``, a loaded model, or a path.
        device: ``"auto"``, or a torch device.

    Raises:
        UserError: for a predictor without a torch network (an ONNX file).
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
        raise UserError("An ONNX model cannot be evaluated. Evaluate the checkpoint that it was exported from.")
    return given.classifier.model
