"""Every way to compute the convolutions of MFER-Base, timed: whether the network takes the quickest one.

The choice is that of :mod:`mfer_lightning.nn.convolution.choice`. The arithmetic is counted densely, padding included,
for all ways: two operations a multiply-add.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mfer_lightning.benchmark.device import Device
from mfer_lightning.benchmark.timing import interleaved, median
from mfer_lightning.nn.convolution import Shape, choose, convolve_taps, depthwise_weight_gradient
from mfer_lightning.nn.convolution.dense import convolve_forward, input_gradient, weight_gradient

KERNEL = 7
#: Channels and side of the maps that attention's dense convolutions see at 224 pixels.
DENSE = ((512, 14), (1024, 7))
#: The same of depthwise convolutions within the backbone.
DEPTHWISE = ((128, 56), (256, 28), (512, 14), (1024, 7))


def measure_convolutions(
    device: Device, batch: int, bfloat16: bool, repeats: int, ceiling: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Time each way of the dense convolutions' forward pass and gradients, and of the depthwise weight gradient.

    Args:
        device: where.
        batch: maps.
        bfloat16: or float32.
        repeats: measurements of each; medians are reported.
        ceiling: see :func:`~mfer_lightning.benchmark.ceiling.measure`.

    Returns:
        A row a way: map, computation, way, whether it is what the network takes, milliseconds (on the CPU those of
        processor time, too), GFLOP/s and share of the GEMM rate. Rows ``forward and both gradients`` sum up what is
        taken.
    """
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    rate = ceiling["gemm_bfloat16" if bfloat16 else "gemm_float32"]
    rows: list[dict[str, Any]] = []
    for channels, side in DENSE:
        chosen = choose(device.type, dtype, Shape(channels, channels, side, side, KERNEL, KERNEL))
        operations = 2e-9 * batch * side**2 * channels**2 * KERNEL**2
        found: list[dict[str, Any]] = []
        name = f"{channels}x{side}x{side}"
        for (computation, works), way in zip(_dense(device, batch, channels, side, dtype).items(), chosen, strict=True):
            found += _rows(name, computation, works, way, operations, device, repeats, rate)
        rows += [*found, _total(found, 3 * operations, rate)]
    for channels, side in DEPTHWISE:
        x, given = _maps(device, batch, channels, side, dtype), _maps(device, batch, channels, side, dtype)
        products = {"library": _library_depthwise(x, given), "products": _products_depthwise(x, given)}
        ours = "products" if device.is_cpu and bfloat16 else "library"
        operations = 2e-9 * batch * side**2 * channels * KERNEL**2
        name = f"{channels}x{side}x{side}"
        rows += _rows(name, "depthwise weight gradient", products, ours, operations, device, repeats, rate)
    device.free()
    return rows


def _rows(
    name: str,
    computation: str,
    works: Mapping[str, Callable[[], object]],
    chosen: str,
    operations: float,
    device: Device,
    repeats: int,
    rate: float,
) -> list[dict[str, Any]]:
    samples = interleaved(works, repeats, calls=device.calls, synchronise=device.synchronise)
    rows = []
    for way, found in samples.items():
        middle = median(found)
        rows.append(
            {
                "map": name,
                "computation": computation,
                "way": way,
                "taken": way == chosen,
                "milliseconds": round(1000 * middle.wall, 3),
                **({"processor_milliseconds": round(1000 * middle.cpu, 3)} if device.is_cpu else {}),
                "gflops_per_second": round(operations / middle.wall, 1),
                "share_of_gemm_ceiling": round(operations / middle.wall / rate, 3),
            }
        )
    return rows


def _total(rows: list[dict[str, Any]], operations: float, rate: float) -> dict[str, Any]:
    taken = [row for row in rows if row["taken"]]
    milliseconds = sum(row["milliseconds"] for row in taken)
    processor = [row["processor_milliseconds"] for row in taken if "processor_milliseconds" in row]
    return {
        "map": rows[0]["map"],
        "computation": "forward and both gradients",
        "way": "/".join(row["way"] for row in taken),
        "taken": True,
        "milliseconds": round(milliseconds, 3),
        **({"processor_milliseconds": round(sum(processor), 3)} if processor else {}),
        "gflops_per_second": round(1000 * operations / milliseconds, 1),
        "share_of_gemm_ceiling": round(1000 * operations / milliseconds / rate, 3),
    }


def _dense(
    device: Device, batch: int, channels: int, side: int, dtype: torch.dtype
) -> dict[str, dict[str, Callable[[], object]]]:
    x, given = _maps(device, batch, channels, side, dtype), _maps(device, batch, channels, side, dtype)
    weight = torch.randn(channels, channels, KERNEL, KERNEL, device=device.type) / (channels**0.5 * KERNEL)
    weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
    forward: dict[str, Callable[[], object]] = {
        way: lambda way=way: convolve_forward(x, weight, None, way)  # type: ignore[misc]
        for way in ("library", "unfold")
    }
    of_input: dict[str, Callable[[], object]] = {
        way: lambda way=way: input_gradient(given, weight, way)  # type: ignore[misc]
        for way in ("library", "turned", "unfold")
    }
    of_weight: dict[str, Callable[[], object]] = {
        way: lambda way=way: weight_gradient(given, x, KERNEL, KERNEL, torch.float32, way)  # type: ignore[misc]
        for way in ("library", "unfold")
    }
    if device.is_cpu:
        forward["taps"] = lambda: convolve_taps(x, weight, None)
        of_input["taps"] = _gradient_of_taps(x, weight, given, 0)
        of_weight["taps"] = _gradient_of_taps(x, weight, given, 1)
    return {"forward": forward, "input gradient": of_input, "weight gradient": of_weight}


def _gradient_of_taps(x: Tensor, weight: Tensor, given: Tensor, which: int) -> Callable[[], object]:
    inputs = [x.detach(), weight.detach()]
    inputs[which].requires_grad_()
    result = convolve_taps(inputs[0], inputs[1], None)
    return lambda: torch.autograd.grad(result, inputs[which], given, retain_graph=True)


def _maps(device: Device, batch: int, channels: int, side: int, dtype: torch.dtype) -> Tensor:
    maps = torch.randn(batch, channels, side, side, device=device.type).to(dtype)
    return maps.contiguous(memory_format=torch.channels_last)


def _library_depthwise(x: Tensor, given: Tensor) -> Callable[[], object]:
    channels = x.shape[1]
    weight = x.new_empty(channels, 1, KERNEL, KERNEL)
    pad = (KERNEL // 2, KERNEL // 2)
    wanted = (False, True, False)
    return lambda: torch.ops.aten.convolution_backward(
        given, x, weight, None, (1, 1), pad, (1, 1), False, (0, 0), channels, wanted
    )


def _products_depthwise(x: Tensor, given: Tensor) -> Callable[[], object]:
    return lambda: depthwise_weight_gradient(x, given, (KERNEL, KERNEL))
