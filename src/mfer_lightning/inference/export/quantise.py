"""Weights in 8 bits: a file of a quarter of the size, at a cost that is measured, not promised."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def quantise(path: Path) -> None:
    """Quantise a file in place, with activations quantised while it runs: nothing is calibrated on any data.

    Matrix products get int8 weights of 7 bits, -64 to 64, with a scale for each channel: processors that have AVX2 but
    no VNNI add two products of an activation and a weight in 16 bits, and with 8-bit weights the sum is cut off there
    (probabilities were wrong by 0.3). Convolutions that mix channels get uint8 weights with one scale, which is what
    ONNX Runtime's integer convolution takes and which it adds in 32 bits everywhere; the first one and those that work
    on each channel by itself stay in float32: they hold few weights and suffer most.

    Args:
        path: an ONNX file in float32.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, _quiet():
        plain, half = Path(scratch) / "plain.onnx", Path(scratch) / "half.onnx"
        _fold_constants(path, plain)
        convolutions = [n for n in onnx.load(str(plain)).graph.node if n.op_type == "Conv"]
        kept = [n.name for i, n in enumerate(convolutions) if i == 0 or _groups(n) > 1]
        quantize_dynamic(
            plain,
            half,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # 7 bits
            op_types_to_quantize=["MatMul", "Gemm"],
        )
        quantize_dynamic(half, path, weight_type=QuantType.QUInt8, op_types_to_quantize=["Conv"], nodes_to_exclude=kept)


def _fold_constants(source: Path, target: Path) -> None:
    """Compute what depends on weights alone (slices of kernels), so that the quantiser finds weights, by ORT itself."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _groups(node: Any) -> int:
    return int(next((a.i for a in node.attribute if a.name == "group"), 1))


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser recommends preprocessing that has just been done."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
