"""Export a model as one ONNX graph from uint8 faces to probabilities, including resizing and normalisation."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn.preprocess import without_colour
from mfer_lightning.onnx.metadata import INPUT, OUTPUTS, VALENCE_AROUSAL

if TYPE_CHECKING:
    import onnx

#: The oldest operator set that can resize with an antialiasing filter. ONNX Runtime 1.14 and later run it.
OPSET = 18
#: Maximum bytes of weights. Protocol buffers are limited to 2 GiB, and the predictor rejects weights in other files.
_MOST_WEIGHTS = 1_900_000_000


class FaceGraph(nn.Module):
    """The exported module.

    It computes the same as :class:`~mfer_lightning.nn.preprocess.Preprocess` and the network, without branches that
    depend on the size of the faces. Those branches only save time and do not change the result.

    Args:
        model: a loaded model.
    """

    def __init__(self, model: FERModel) -> None:
        super().__init__()
        self.network = model.network
        self.preprocess = model.preprocess
        self.temperature = model.temperature

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of :meth:`forward`."""
        return (*OUTPUTS, *((VALENCE_AROUSAL,) if VALENCE_AROUSAL in self.network.outputs else ()))

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 (B,3,H,W) RGB to probabilities (B,K), logits (B,K) and feature (B,D).

        If the network predicts them, valence and arousal (B,2) are the last output.
        """
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
        logits = output["logits"] if self.temperature == 1 else output["logits"] / self.temperature
        further = (output[VALENCE_AROUSAL],) if VALENCE_AROUSAL in output else ()
        return logits.softmax(1), logits, output["feature"], *further


def write_graph(model: FERModel, path: Path, size: int) -> None:
    """Export a model with a dynamic batch size, and with dynamic height and width if the model resizes.

    Args:
        model: a loaded model.
        path: the file to write.
        size: side of the network's input in pixels.

    Raises:
        UserError: if the extra ``onnx`` is not installed, or the model is too large or cannot be exported.
    """
    _require_packages()
    weights = sum(v.numel() * v.element_size() for v in model.network.state_dict().values())
    if weights > _MOST_WEIGHTS:
        raise UserError(
            f"The model has {weights:,} bytes of weights, but a single ONNX file can have at most {_MOST_WEIGHTS:,}. "
            "Export it with format=safetensors."
        )
    graph = FaceGraph(model).eval()
    # if the model resizes: neither square nor the network's size, so that no step is optimised away
    shape, free = ((size, size), [0]) if model.preprocess.size is None else ((size + 1, size + 2), [0, 2, 3])
    example = torch.zeros(2, 3, *shape, dtype=torch.uint8)
    with quiet(), _plain_attention(model.network), torch.no_grad():
        try:
            program = torch.onnx.export(
                graph,
                (example.to(model.device),),
                input_names=[INPUT],
                output_names=list(graph.outputs),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes={INPUT: dict.fromkeys(free, torch.export.Dim.DYNAMIC)},
                verbose=False,
            )
        except Exception as error:  # the exporter's own exceptions wrap those of the backbone
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UserError(
                f"torch cannot export this network to ONNX ({reason}). Export it with format=safetensors."
            ) from error
    import onnx

    assert program is not None  # it is None only for the exporter with dynamo=False
    proto = program.model_proto
    _resize_as_torch(proto)
    onnx.save(proto, str(path))


def _resize_as_torch(proto: onnx.ModelProto) -> None:
    """Set the filter of antialiased resizing to that of torch; onnxscript before 0.7 writes a different filter.

    torch uses cubic weights with a = -0.5, and no weights outside the image.
    """
    from onnx.helper import make_attribute

    resizing = [node for node in proto.graph.node if node.op_type == "Resize"]
    antialiased = [node for node in resizing if any(a.name == "antialias" and a.i for a in node.attribute)]
    for node in antialiased:
        kept = [a for a in node.attribute if a.name not in ("cubic_coeff_a", "exclude_outside")]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.append(make_attribute("cubic_coeff_a", -0.5))
        node.attribute.append(make_attribute("exclude_outside", 1))


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block, let loggers show only errors, and hide warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _require_packages() -> None:
    missing = next((name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None), None)
    if missing is not None:
        raise UserError(
            f"format=onnx needs the package {missing}: pip install 'mfer_lightning[onnx]'. "
            "Without it, format=safetensors works."
        )


@contextmanager
def _plain_attention(network: nn.Module) -> Iterator[None]:
    """Use timm's unfused attention: the exporter does not support the fused one over windows (Hiera, NesT)."""
    fused = [module for module in network.modules() if getattr(module, "fused_attn", False) is True]
    for module in fused:
        module.fused_attn = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True  # type: ignore[assignment]
