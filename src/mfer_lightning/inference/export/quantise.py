"""Weights in 8 bits: a smaller file, at a cost that is measured, not promised."""

from __future__ import annotations

import logging
from pathlib import Path

#: What is quantised: matrix products. ONNX Runtime's convolutions in 8 bits are slower than those in float32 on CPUs.
_OPERATORS = ("MatMul", "Gemm")


def quantise(path: Path) -> None:
    """Quantise a file in place: weights to int8 by channel, activations while it runs.

    Args:
        path: an ONNX file in float32.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends preprocessing that changes nothing for these graphs
    try:
        quantize_dynamic(
            str(path), str(path), weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=list(_OPERATORS)
        )
    finally:
        root.setLevel(level)
