"""What the device can do: matrix products, and copies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from mfer_lightning.benchmark.arithmetic import arithmetic
from mfer_lightning.benchmark.device import Device

Clock = Callable[[], float]

#: (rows, in, out) of the matrix products that make up most of MFER-Base at 224 pixels, batch 8: for the CPU.
SHAPES = ((1568, 512, 2048), (1568, 2048, 512), (6272, 256, 1024), (2048, 2048, 2048))
#: Side of the square product that a GPU is measured with.
GPU_SIDE = 8192
#: Size of the copy, more than any cache holds.
MEGABYTES = 256


def gemm_rate(
    dtype: torch.dtype,
    shapes: Sequence[tuple[int, int, int]],
    device: Device,
    repeats: int = 8,
    clock: Clock = time.perf_counter,
) -> float:
    """Arithmetic of the quickest matrix product in 10^9 operations a second (a multiply-add counts as two).

    Args:
        dtype: of the factors.
        shapes: rows, inner and columns of the products.
        device: where.
        repeats: of each product.
        clock: seconds by the clock, or of processor time (``time.process_time``: the rate of one core, whoever else is
            at work).
    """
    best = 0.0
    with torch.inference_mode():
        for rows, inner, columns in shapes:
            x = torch.randn(rows, inner, device=device.type).to(dtype)
            w = torch.randn(columns, inner, device=device.type).to(dtype)
            seconds = _least(lambda x=x, w=w: F.linear(x, w), device, repeats, clock)  # type: ignore[misc]
            best = max(best, 2e-9 * rows * inner * columns / seconds)
    return best


def copy_rate(device: Device, repeats: int = 8) -> float:
    """Bytes read and written by a copy of a block that no cache holds, in 10^9 a second."""
    source = torch.zeros(MEGABYTES * 2**18, device=device.type)
    target = torch.empty_like(source).zero_()
    return 2e-9 * source.nbytes / _least(lambda: target.copy_(source), device, repeats)


def measure(device: Device, side: int | None = None) -> dict[str, float]:
    """Measure the rates of a device.

    Args:
        device: which.
        side: of the square product; None: 8192 on a GPU, the products of :data:`SHAPES` on the CPU.

    Returns:
        ``gemm_float32``, ``gemm_bfloat16`` and, of a GPU, ``gemm_tf32`` (GFLOP/s), and ``copy`` (GB/s). Of the CPU the
        same with ``_core`` behind, of one core, in GFLOP a second of processor time.
    """
    square = side or (None if device.is_cpu else GPU_SIDE)
    shapes = SHAPES if square is None else ((square, square, square),)
    rates = {"copy": round(copy_rate(device), 1)}
    for name in ("float32", "bfloat16") if device.is_cpu else ("float32", "tf32", "bfloat16"):
        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
        with arithmetic(name, device):
            rates[f"gemm_{name}"] = round(gemm_rate(dtype, shapes, device), 1)
            if device.is_cpu:
                rates[f"gemm_{name}_core"] = round(gemm_rate(dtype, shapes, device, clock=time.process_time), 1)
    device.free()
    return rates


def _least(work: Callable[[], object], device: Device, repeats: int, clock: Clock = time.perf_counter) -> float:
    work()
    best = float("inf")
    for _ in range(repeats):
        device.synchronise()
        start = clock()
        work()
        device.synchronise()
        best = min(best, max(clock() - start, 1e-9))
    return best
