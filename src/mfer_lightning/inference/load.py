"""Load a trained model for photos: from a run, a checkpoint, or an export."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.errors import UserError, check_choice
from mfer_lightning.inference.checkpoint import model_path
from mfer_lightning.inference.classifier import Classifier, TorchClassifier
from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.views import Views

#: What a loaded model can compute in.
PRECISIONS = ("float32", "bfloat16")


def load_model(
    where: str | PathLike[str],
    device: str = "auto",
    *,
    batch_size: int = 64,
    flip: bool | None = None,
    shift: float | None = None,
    precision: str = "float32",
    plugins: Sequence[str] = (),
    verify: bool = True,
) -> Predictor:
    """Load a trained model that takes photos, without executing anything that its file holds.

    Args:
        where: a run's folder, a checkpoint file, or what ``mfer export`` wrote: a folder, or an ``.onnx`` file.
        device: ``"auto"`` (a GPU where there is one), or a torch device, e.g. ``"cpu"`` or ``"cuda:1"``.
        batch_size: faces at a time.
        flip: average with the mirrored face; None: as the model's file says.
        shift: average with four copies shifted by this share of the side; None: as the model's file says.
        precision: ``"float32"``, or ``"bfloat16"``: at least twice as fast where the hardware multiplies it natively,
            half the memory, and probabilities differ by about a hundredth.
        plugins: packages of yours that the model was trained with; importing them executes their code.
        verify: compare the weights with the checksums that the file holds.

    Returns:
        The model: ``.predict(photos)``, ``.embed(photos)``, ``.class_names``.

    Raises:
        ValueError: for a network in memory.
        UserError: where there is no such model, or it is damaged, unsafe or of a newer version.
    """
    check_choice("precision", precision, PRECISIONS)
    path = model_path(where)
    if path.suffix == ".onnx" or (path / "model.onnx").is_file():
        if precision != "float32":
            raise UserError(
                f"precision={precision}: an ONNX file computes in what it was written in: load the checkpoint, or "
                "export it with quantize=int8."
            )
        return Predictor(_onnx_classifier(path, device, flip, shift, verify), batch_size=batch_size)
    with plugins_loaded(plugins):
        model = read_model(where, device, verify=verify)
    if precision == "bfloat16":
        in_bfloat16(model)
    views = Views.of_metadata(model.metadata, flip, shift)
    return Predictor(TorchClassifier(model, views), batch_size=batch_size)


def in_bfloat16(model: FERModel) -> FERModel:
    """Make a model predict in bfloat16, in place. Weights are converted once, not at every batch as by autocast.

    Figures in papers and ``result.json`` are in float32. The conversion halves the memory of the weights and can only
    be undone by loading the model again.

    Args:
        model: as :func:`~mfer_lightning.inference.model.read_model` returns it.

    Returns:
        The same model; its outputs stay float32.
    """
    for layer in model.network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):  # norms, softmax and sums stay in float32, as under autocast
            layer.to(torch.bfloat16)
    network = model.network
    plain = network.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        with torch.autocast(next(network.parameters()).device.type, torch.bfloat16):
            return plain(*arguments, **options)

    network.forward = forward  # type: ignore[method-assign]
    return model


def _onnx_classifier(path: Path, device: str, flip: bool | None, shift: float | None, verify: bool) -> Classifier:
    if device not in ("auto", "cpu"):
        raise UserError(f"device={device}: ONNX files are run on the CPU here. Say device=cpu, or load the checkpoint.")
    try:
        from mfer_lightning.onnx import OnnxModel
    except ImportError as error:
        raise UserError(f"ONNX files need ONNX Runtime: pip install 'mfer_lightning[onnx]' ({error}).") from error
    model = OnnxModel(path, verify=verify)
    wished = Views.of_metadata(model.metadata, flip, shift)
    if wished != model.views:
        named = f"flip={str(flip).lower()}" if wished.flip != model.views.flip else f"shift={shift:g}"
        raise UserError(f"{named}: the ONNX file was made with another; load the checkpoint instead.")
    return model
