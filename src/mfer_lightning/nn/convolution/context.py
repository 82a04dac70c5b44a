"""Context of a convolution: whether custom implementations apply, whether a graph is captured, the autocast dtype."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_plain = False


@contextmanager
def plain_convolutions() -> Iterator[None]:
    """Use only torch's own convolutions within the block, for FLOP counts, comparisons and second derivatives."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def plain() -> bool:
    """Whether to use torch's own convolutions: within :func:`plain_convolutions`, or in a graph to be exported."""
    return _plain or exporting()


def exporting() -> bool:
    """Whether a graph is captured for export (ONNX, torch.export, tracing), which supports only torch's own operators.

    Before torch 2.12, ``torch.compile`` and ``torch.export`` cannot be told apart within a graph: both count as
    exporting, so compiled networks use torch's own convolutions.
    """
    if torch._C._get_tracing_state() or torch.onnx.is_in_onnx_export():
        return True
    if not torch.compiler.is_compiling():
        return False
    return not hasattr(torch.compiler, "is_exporting") or bool(torch.compiler.is_exporting())


def eager_on_cpu(x: Tensor) -> bool:
    """Whether to use eager implementations: only on the CPU, and not in a captured graph, which would unroll them."""
    if _plain or x.device.type != "cpu" or not x.is_floating_point():
        return False
    return not (torch.compiler.is_compiling() or exporting())


def autocast_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which a convolution of ``x`` is computed: that of autocast if enabled, otherwise its own."""
    device = x.device.type
    if x.dtype == torch.float64 or not torch.amp.is_autocast_available(device):
        return x.dtype
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def autocast(x: Tensor) -> Tensor:
    """Convert ``x`` as autocast would before a convolution."""
    return x.to(autocast_dtype(x))
