"""What the machine can do: matrix products of the sizes that the network has, and copies."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

#: (rows, in, out) of the matrix products that make up most of MFER-Base at 224 pixels, batch 8.
SHAPES = ((1568, 512, 2048), (1568, 2048, 512), (6272, 256, 1024), (2048, 2048, 2048))


def gemm_rate(dtype: torch.dtype, repeats: int = 8) -> float:
    """Arithmetic of the quickest matrix product in 10^9 operations a second (a multiply-add counts as two)."""
    best = 0.0
    with torch.inference_mode():
        for rows, inner, columns in SHAPES:
            x, w = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
            seconds = _least(lambda x=x, w=w: F.linear(x, w), repeats)  # type: ignore[misc]
            best = max(best, 2e-9 * rows * inner * columns / seconds)
    return best


def copy_rate(repeats: int = 8, megabytes: int = 256) -> float:
    """Bytes read and written by a copy of a block that no cache holds, in 10^9 a second."""
    source = torch.zeros(megabytes * 2**18)
    target = torch.empty_like(source).zero_()
    return 2e-9 * source.nbytes / _least(lambda: target.copy_(source), repeats)


def _least(work: Callable[[], object], repeats: int) -> float:
    work()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def measure() -> dict[str, float]:
    """Measure the rates of this machine: ``gemm_float32``, ``gemm_bfloat16`` (GFLOP/s) and ``copy`` (GB/s)."""
    return {
        "gemm_float32": round(gemm_rate(torch.float32), 1),
        "gemm_bfloat16": round(gemm_rate(torch.bfloat16), 1),
        "copy": round(copy_rate(), 1),
    }
