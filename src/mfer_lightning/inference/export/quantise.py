"""Quantise an ONNX file to 8 bits: a quarter of the size, at a cost in accuracy that the export measures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mfer_lightning.inference.export.onnx_graph import quiet


def quantise(path: Path) -> None:
    """Quantise a file in place. Activations are quantised dynamically, so no calibration data are needed.

    Matrix products get int8 weights of 7 bits, -64 to 64, with one scale per channel, because processors with AVX2
    but without VNNI add two products of an activation and a weight in 16 bits, which overflows with 8-bit weights
    (probabilities were wrong by 0.3). Dense convolutions get uint8 weights with one scale, as ONNX Runtime's integer
    convolution requires; it accumulates in 32 bits. The first convolution and depthwise convolutions stay in
    float32, because they have few weights and cause most of the accuracy loss when quantised.

    Args:
        path: an ONNX file in float32.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, quiet():
        plain, half = Path(scratch) / "plain.onnx", Path(scratch) / "half.onnx"
        _fold_constants(path, plain)
        convolutions = [n for n in onnx.load(str(plain)).graph.node if n.op_type == "Conv"]
        kept = [n.name for i, n in enumerate(convolutions) if i == 0 or _groups(n) > 1]
        products, how = ["MatMul", "Gemm"], {"per_channel": True, "reduce_range": True}  # reduced to 7 bits
        quantize_dynamic(plain, half, weight_type=QuantType.QInt8, op_types_to_quantize=products, **how)
        quantize_dynamic(half, path, weight_type=QuantType.QUInt8, op_types_to_quantize=["Conv"], nodes_to_exclude=kept)


def _fold_constants(source: Path, target: Path) -> None:
    """Precompute what depends only on weights, e.g. slices of kernels, because only stored weights are quantised."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    proto = onnx.load(str(target))
    # ONNX Runtime transposes some weights but keeps the old shapes, which torch 2.6 writes and the quantiser rejects
    weights = {weight.name for weight in proto.graph.initializer}
    kept = [value for value in proto.graph.value_info if value.name not in weights]
    if len(kept) < len(proto.graph.value_info):
        del proto.graph.value_info[:]
        proto.graph.value_info.extend(kept)
        onnx.save(proto, str(target))


def _groups(node: Any) -> int:
    return int(next((a.i for a in node.attribute if a.name == "group"), 1))
