"""What the machine can do: matrix products of the sizes that the network has, and copies."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

Clock = Callable[[], float]

#: (rows, in, out) of the matrix products that make up most of MFER-Base at 224 pixels, batch 8.
SHAPES = ((1568, 512, 2048), (1568, 2048, 512), (6272, 256, 1024), (2048, 2048, 2048))


def gemm_rate(dtype: torch.dtype, repeats: int = 8, clock: Clock = time.perf_counter) -> float:
    """Arithmetic of the quickest matrix product in 10^9 operations a second (a multiply-add counts as two).

    Args:
        dtype: of the factors.
        repeats: of each product.
        clock: seconds by the clock, or of processor time (``time.process_time``: the rate of one core, whoever else is
            at work).
    """
    best = 0.0
    with torch.inference_mode():
        for rows, inner, columns in SHAPES:
            x, w = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
            seconds = _least(lambda x=x, w=w: F.linear(x, w), repeats, clock)  # type: ignore[misc]
            best = max(best, 2e-9 * rows * inner * columns / seconds)
    return best


def copy_rate(repeats: int = 8, megabytes: int = 256) -> float:
    """Bytes read and written by a copy of a block that no cache holds, in 10^9 a second."""
    source = torch.zeros(megabytes * 2**18)
    target = torch.empty_like(source).zero_()
    return 2e-9 * source.nbytes / _least(lambda: target.copy_(source), repeats)


def _least(work: Callable[[], object], repeats: int, clock: Clock = time.perf_counter) -> float:
    work()
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        work()
        best = min(best, max(clock() - start, 1e-9))
    return best


def measure() -> dict[str, float]:
    """Measure the rates of this machine.

    Returns:
        ``gemm_float32``, ``gemm_bfloat16`` (GFLOP/s), the same with ``_core`` behind (of one core, in GFLOP a second of
        processor time), and ``copy`` (GB/s).
    """
    rates = {"copy": round(copy_rate(), 1)}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        rates[f"gemm_{name}"] = round(gemm_rate(dtype), 1)
        rates[f"gemm_{name}_core"] = round(gemm_rate(dtype, clock=time.process_time), 1)
    return rates
