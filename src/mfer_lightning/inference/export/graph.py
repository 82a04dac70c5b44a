"""A model as one ONNX graph: uint8 faces in; resizing, normalisation, network and softmax inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn.preprocess import without_colour
from mfer_lightning.onnx.metadata import INPUT, OUTPUTS

#: The oldest set of operators that can resize with a filter against aliasing; ONNX Runtime 1.14 and later run it.
OPSET = 18
#: Protocol buffers end at 2 GiB, and weights beside the file are not accepted by the predictor.
_MOST_WEIGHTS = 1_900_000_000


class FaceGraph(nn.Module):
    """What is exported.

    It does what :class:`~mfer_lightning.nn.preprocess.Preprocess` and the network do, without choices that depend on
    the size of the faces: a filter against aliasing does nothing to a picture that grows.

    Args:
        model: a loaded model.
    """

    def __init__(self, model: FERModel) -> None:
        super().__init__()
        self.network = model.network
        self.preprocess = model.preprocess

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map uint8 (B,3,H,W) RGB to probabilities (B,K), logits (B,K) and feature (B,D)."""
        said = self.preprocess
        x = faces.to(torch.float32)
        if said.grey:
            x = without_colour(x)
        elif said.colour == "BGR":
            x = x.flip(1)
        if said.size is not None:
            side = (said.size, said.size)
            x = F.interpolate(x, side, mode=said.interpolation, align_corners=False, antialias=said.antialias)
            if said.interpolation == "bicubic":
                x = x.clamp(0, 255)
        output = self.network((x - said.shift) * said.scale)
        logits = output["logits"]
        return logits.softmax(1), logits, output["feature"]


def write_graph(model: FERModel, path: Path, size: int) -> None:
    """Export a model, with the batch as a free dimension, and height and width where it resizes.

    Args:
        model: a loaded model.
        path: the file to write.
        size: side of the network's input in pixels.

    Raises:
        UserError: where the extra is not installed, the model is too large, or it cannot be exported.
    """
    _require_extra()
    weights = sum(v.numel() * v.element_size() for v in model.network.state_dict().values())
    if weights > _MOST_WEIGHTS:
        raise UserError(
            f"The model has {weights:,} bytes of weights; a single ONNX file holds at most {_MOST_WEIGHTS:,}. "
            "Export it with format=safetensors."
        )
    graph = FaceGraph(model).eval()
    side = size if model.preprocess.size is None else size + 1  # not square to the network's size: nothing is left out
    example = torch.zeros(2, 3, side, side + int(model.preprocess.size is not None), dtype=torch.uint8)
    free = [0, 2, 3] if model.preprocess.size is not None else [0]
    # Exporting at batch 2 with contiguous weights: the memory format is the runtime's own business.
    with _quiet(), torch.no_grad():
        try:
            torch.onnx.export(
                graph,
                (example.to(model.device),),
                str(path),
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes={INPUT: dict.fromkeys(free, torch.export.Dim.DYNAMIC)},
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter's own exceptions wrap whatever a backbone does
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise UserError(
                f"torch cannot export this network to ONNX ({reason}). Export it with format=safetensors."
            ) from error


def _require_extra() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"format=onnx needs the package {error.name}: pip install 'mfer_lightning[onnx]'. "
            "Without it, format=safetensors works."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of its own progress and of operators that it looks for in vain."""
    names = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export", "torch.onnx._internal.exporter")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
