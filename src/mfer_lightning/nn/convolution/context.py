"""The context of a convolution: whether our own ways are wanted, whether a graph is captured, the dtype of autocast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_plain = False


@contextmanager
def plain_convolutions() -> Iterator[None]:
    """Use torch's own convolutions only, within the block: to count arithmetic, to compare, to differentiate twice."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def plain() -> bool:
    """Whether torch's own convolutions are wanted: within :func:`plain_convolutions`, or in a graph to be exported."""
    return _plain or exporting()


def exporting() -> bool:
    """Whether a graph is captured for other programs (ONNX, torch.export, tracing), which know torch's operators only.

    Before torch 2.12, ``torch.compile`` and ``torch.export`` cannot be told apart within a graph: both count as
    exporting there, so that compiled networks take torch's own convolutions.
    """
    if torch._C._get_tracing_state() or torch.onnx.is_in_onnx_export():
        return True
    if not torch.compiler.is_compiling():
        return False
    return not hasattr(torch.compiler, "is_exporting") or bool(torch.compiler.is_exporting())


def eager_on_cpu(x: Tensor) -> bool:
    """Whether ways for eager work on the CPU apply: no captured graph, which would unroll them, and not plain."""
    if _plain or x.device.type != "cpu" or not x.is_floating_point():
        return False
    return not (torch.compiler.is_compiling() or exporting())


def autocast_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which a convolution of ``x`` computes: autocast's where it is enabled, else its own."""
    device = x.device.type
    if x.dtype == torch.float64 or not torch.amp.is_autocast_available(device):
        return x.dtype
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def autocast(x: Tensor) -> Tensor:
    """Convert ``x`` as autocast would before a convolution."""
    return x.to(autocast_dtype(x))
