"""Measure the limits of a device: the rates of matrix products and memory copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from mfer_lightning.benchmark.device import Device
from mfer_lightning.benchmark.timing import Sample, interleaved

#: (rows, in, out) of the matrix products for the CPU: three that dominate MFER-Base at 224 pixels with batch size 8,
#: and a square one.
SHAPES = ((1568, 512, 2048), (1568, 2048, 512), (6272, 256, 1024), (2048, 2048, 2048))
#: Side of the square matrix product for GPUs.
GPU_SIDE = 8192
#: Size of the copy in MiB, larger than the caches of most devices.
MEGABYTES = 256
#: Number of measurements, of which the best is taken.
REPEATS = 8


def gemm_rates(dtype: torch.dtype, shapes: Sequence[tuple[int, int, int]], device: Device) -> Sample:
    """Return the rate of the fastest matrix product in 10^9 operations per second (a multiply-add counts as two).

    Args:
        dtype: type of the factors.
        shapes: rows, inner dimension and columns of the products.
        device: device to measure.

    Returns:
        The rate per second of wall-clock time, and per second of processor time. The latter is the rate of one core and
        does not depend on other processes.
    """
    found = []
    with torch.inference_mode():
        for rows, inner, columns in shapes:
            x = torch.randn(rows, inner, device=device.type).to(dtype)
            w = torch.randn(columns, inner, device=device.type).to(dtype)
            found.append(_rates(lambda x=x, w=w: F.linear(x, w), 2e-9 * rows * inner * columns, device))  # type: ignore[misc]
    return Sample(*np.max(found, axis=0).tolist())


def copy_rate(device: Device) -> float:
    """Return the memory bandwidth of a large copy in GB/s, counting both reads and writes."""
    source = torch.zeros(MEGABYTES * 2**18, device=device.type)
    target = torch.empty_like(source).zero_()
    return _rates(lambda: target.copy_(source), 2e-9 * source.nbytes, device).wall


def measure(device: Device, side: int | None = None) -> dict[str, float]:
    """Measure the rates of a device.

    Args:
        device: device to measure.
        side: side of the square product; None: 8192 on a GPU, the products of :data:`SHAPES` on the CPU.

    Returns:
        ``gemm_float32``, ``gemm_bfloat16`` and, for a GPU, ``gemm_tf32`` (GFLOP/s), and ``copy`` (GB/s). For the CPU,
        also the GEMM rates with the suffix ``_core``: GFLOP per second of processor time, the rate of one core.
    """
    square = side or (None if device.is_cpu else GPU_SIDE)
    shapes = SHAPES if square is None else ((square, square, square),)
    rates = {"copy": round(copy_rate(device), 1)}
    for name in device.arithmetic:
        with device.computing_in(name):
            best = gemm_rates(torch.bfloat16 if name == "bfloat16" else torch.float32, shapes, device)
        rates[f"gemm_{name}"] = round(best.wall, 1)
        if device.is_cpu:
            rates[f"gemm_{name}_core"] = round(best.cpu, 1)
    device.free()
    return rates


def _rates(work: Callable[[], object], amount: float, device: Device) -> Sample:
    """Return the best rate, which is the one least affected by other load."""
    (samples,) = interleaved({"": work}, REPEATS, synchronise=device.synchronise).values()
    return Sample(*(amount / np.maximum(np.min(samples, axis=0), 1e-9)).tolist())
