"""Depthwise convolutions equal torch's own, in values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from nn.convolutions import KERNELS, MAPS, gradients
from torch import nn

from mfer_lightning.nn.convolution import (
    DepthwiseConv2d,
    convolve_depthwise,
    depthwise_weight_gradient,
    plain_convolutions,
    speed_up_depthwise,
)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", MAPS)
def test_depthwise_matches_torch_in_values_and_gradients(shape, kernel):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    weight, bias = torch.randn(shape[1], 1, *kernel, dtype=torch.float64), torch.randn(shape[1], dtype=torch.float64)
    padding = (kernel[0] // 2, kernel[1] // 2)
    wanted = gradients(lambda x, w, b: F.conv2d(x, w, b, padding=padding, groups=len(w)), x, weight, bias)
    for found, expected in zip(gradients(convolve_depthwise, x, weight, bias), wanted, strict=True):
        torch.testing.assert_close(found, expected)


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(128, 128, 7, padding=3, groups=128),
        nn.Conv2d(128, 128, 3, padding=1, groups=128, stride=2),
        nn.Conv2d(128, 128, 3, padding=1, groups=128),  # not replaced, like the next two
        nn.Conv2d(128, 128, 7, padding=3, groups=64),
        nn.Conv2d(128, 128, 7, padding=3, groups=128, padding_mode="reflect"),
    )


def test_slow_depthwise_layers_are_replaced_and_keep_names_and_weights():
    module = layers()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert speed_up_depthwise(module) == 2
    assert [type(layer) is DepthwiseConv2d for layer in module] == [True, True, False, False, False]
    assert speed_up_depthwise(module) == 0
    after = module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_fast_implementation_is_used_only_in_bfloat16_with_equal_results(monkeypatch):
    import mfer_lightning.nn.convolution.depthwise as module

    calls = []
    plain = module.depthwise_weight_gradient
    monkeypatch.setattr(module, "depthwise_weight_gradient", lambda *a: calls.append(1) or plain(*a))
    layer = layers()[:1]
    speed_up_depthwise(layer)
    x = torch.randn(8, 128, 16, 16).contiguous(memory_format=torch.channels_last)
    found = []
    for special in (True, False):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            if special:
                result = layer(x)
            else:
                with plain_convolutions():
                    result = layer(x)
        result.float().square().sum().backward()
        found.append(layer[0].weight.grad.clone())
    assert calls == [1]
    assert (found[0] - found[1]).abs().max() <= 0.02 * found[1].abs().max()
    layer(x).sum().backward()  # float32
    assert calls == [1]


@pytest.mark.parametrize(("kernel", "stride", "channels"), [(3, 2, 128), (7, 2, 16), (5, 1, 16), (7, 1, 16)])
def test_strided_and_small_layers_compute_in_float32_under_bfloat16(monkeypatch, kernel, stride, channels):
    layer = nn.Sequential(nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels))
    speed_up_depthwise(layer)
    x = torch.randn(2, channels, 8, 8)
    wanted = layer(x.bfloat16().float())
    wanted.square().sum().backward()
    gradient = layer[0].weight.grad.clone()
    seen = []
    inner = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda x, w, *a: seen.append((x.dtype, w.dtype)) or inner(x, w, *a))
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
        with torch.no_grad():
            assert layer(x).dtype == torch.bfloat16
    assert seen[0] == (torch.float32, torch.float32)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, wanted.bfloat16())
    found.float().square().sum().backward()
    assert layer[0].weight.grad.dtype == torch.float32
    torch.testing.assert_close(layer[0].weight.grad, gradient, atol=0.02 * gradient.abs().max().item(), rtol=0.02)


def test_bfloat16_weights_give_bfloat16_outputs():
    layer = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1, groups=16)).bfloat16()
    speed_up_depthwise(layer)
    assert layer(torch.randn(2, 16, 8, 8).bfloat16()).dtype == torch.bfloat16


def test_weight_gradient_is_float32_for_bfloat16_maps():
    x = torch.randn(2, 3, 9, 9).bfloat16()
    found = depthwise_weight_gradient(x, x, (7, 7))
    assert found.shape == (3, 1, 7, 7)
    assert found.dtype == torch.float32
