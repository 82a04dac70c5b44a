"""Time every implementation of the convolutions of MFER-Base, to check that the network uses the fastest one.

:mod:`mfer_lightning.nn.convolution.choice` selects the implementation of the dense convolutions, and
:mod:`mfer_lightning.nn.convolution.depthwise` that of the depthwise weight gradient. For all implementations, the
number of operations is that of a direct convolution, including padding, with two operations per multiply-add.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mfer_lightning.benchmark.device import Device
from mfer_lightning.benchmark.timing import Sample, interleaved, median
from mfer_lightning.nn.convolution import Shape, choose, convolve_taps, depthwise_weight_gradient
from mfer_lightning.nn.convolution.dense import convolve_forward, input_gradient, weight_gradient

#: Name -> function, for the implementations of one computation.
Works = dict[str, Callable[[], object]]

KERNEL = 7
#: Channels and side of the inputs of attention's dense convolutions at 224 pixels.
DENSE = ((512, 14), (1024, 7))
#: The same for depthwise convolutions in the backbone.
DEPTHWISE = ((128, 56), (256, 28), (512, 14), (1024, 7))


def measure_convolutions(
    device: Device, batch: int, bfloat16: bool, repeats: int, ceiling: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Time the implementations of the dense convolutions (forward, gradients) and of the depthwise weight gradient.

    Args:
        device: device to measure.
        batch: batch size.
        bfloat16: compute in bfloat16, else in float32.
        repeats: number of measurements; medians are reported.
        ceiling: see :func:`~mfer_lightning.benchmark.ceiling.measure`.

    Returns:
        One row per implementation: ``map`` (channels and size), ``computation``, ``way`` (the implementation),
        ``taken`` (whether the network uses it), milliseconds (on the CPU, also in processor time), GFLOP/s and fraction
        of the GEMM rate. A row ``forward and both gradients`` adds up the implementations that the network uses.
    """
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    rate = ceiling["gemm_bfloat16" if bfloat16 else "gemm_float32"]

    def row(name: str, computation: str, way: str, taken: bool, seconds: Sample, operations: float) -> dict[str, Any]:
        return {
            "map": name,
            "computation": computation,
            "way": way,
            "taken": taken,
            "milliseconds": round(1000 * seconds.wall, 3),
            **({"processor_milliseconds": round(1000 * seconds.cpu, 3)} if device.is_cpu else {}),
            "gflops_per_second": round(operations / seconds.wall, 1),
            "share_of_gemm_ceiling": round(operations / seconds.wall / rate, 3),
        }

    def time_ways(name: str, computation: str, works: Works, chosen: str, operations: float) -> list[dict[str, Any]]:
        samples = interleaved(works, repeats, device.calls, device.synchronise)
        return [row(name, computation, way, way == chosen, median(found), operations) for way, found in samples.items()]

    rows: list[dict[str, Any]] = []
    for channels, side in DENSE:
        name, operations = f"{channels}x{side}x{side}", 2e-9 * batch * side**2 * channels**2 * KERNEL**2
        chosen = choose(device.type, dtype, Shape(channels, channels, side, side, KERNEL, KERNEL))
        found: list[dict[str, Any]] = []
        for (computation, works), way in zip(_dense(device, batch, channels, side, dtype).items(), chosen, strict=True):
            found += time_ways(name, computation, works, way, operations)
        taken = [one for one in found if one["taken"]]
        seconds = Sample(
            *(sum(one.get(key, 0.0) for one in taken) / 1000 for key in ("milliseconds", "processor_milliseconds"))
        )
        ways = "/".join(one["way"] for one in taken)
        rows += [*found, row(name, "forward and both gradients", ways, True, seconds, 3 * operations)]
    for channels, side in DEPTHWISE:
        name, operations = f"{channels}x{side}x{side}", 2e-9 * batch * side**2 * channels * KERNEL**2
        ours = "products" if device.is_cpu and bfloat16 else "library"
        works = _depthwise(device, batch, channels, side, dtype)
        rows += time_ways(name, "depthwise weight gradient", works, ours, operations)
    device.free()
    return rows


def _dense(device: Device, batch: int, channels: int, side: int, dtype: torch.dtype) -> dict[str, Works]:
    x, given = _maps(device, batch, channels, side, dtype), _maps(device, batch, channels, side, dtype)
    weight = torch.randn(channels, channels, KERNEL, KERNEL, device=device.type) / (channels**0.5 * KERNEL)
    weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
    forward: Works = {way: partial(convolve_forward, x, weight, None, way) for way in ("library", "unfold")}
    of_input: Works = {way: partial(input_gradient, given, weight, way) for way in ("library", "turned", "unfold")}
    of_weight: Works = {
        way: partial(weight_gradient, given, x, KERNEL, KERNEL, torch.float32, way) for way in ("library", "unfold")
    }
    if device.is_cpu:
        forward["taps"] = partial(convolve_taps, x, weight, None)
        of_input["taps"] = _gradient_of_taps(x, weight, given, 0)
        of_weight["taps"] = _gradient_of_taps(x, weight, given, 1)
    return {"forward": forward, "input gradient": of_input, "weight gradient": of_weight}


def _gradient_of_taps(x: Tensor, weight: Tensor, given: Tensor, which: int) -> Callable[[], object]:
    inputs = [x.detach(), weight.detach()]
    inputs[which].requires_grad_()
    result = convolve_taps(inputs[0], inputs[1], None)
    return partial(torch.autograd.grad, result, inputs[which], given, retain_graph=True)


def _depthwise(device: Device, batch: int, channels: int, side: int, dtype: torch.dtype) -> Works:
    x, given = _maps(device, batch, channels, side, dtype), _maps(device, batch, channels, side, dtype)
    weight, pad = x.new_empty(channels, 1, KERNEL, KERNEL), (KERNEL // 2, KERNEL // 2)
    return {
        "library": lambda: torch.ops.aten.convolution_backward(
            given, x, weight, None, (1, 1), pad, (1, 1), False, (0, 0), channels, (False, True, False)
        ),
        "products": lambda: depthwise_weight_gradient(x, given, (KERNEL, KERNEL)),
    }


def _maps(device: Device, batch: int, channels: int, side: int, dtype: torch.dtype) -> Tensor:
    maps = torch.randn(batch, channels, side, side, device=device.type).to(dtype)
    return maps.contiguous(memory_format=torch.channels_last)
