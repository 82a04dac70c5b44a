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
def test_depthwise_equals_torch_in_values_and_gradients(shape, kernel):
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
        nn.Conv2d(128, 128, 7, padding=3, groups=128, stride=2),  # not of this kind, as the three that follow
        nn.Conv2d(128, 128, 3, padding=1, groups=128),
        nn.Conv2d(128, 128, 7, padding=3, groups=64),
        nn.Conv2d(128, 128, 7, padding=3, groups=128, padding_mode="reflect"),
    )


def test_only_depthwise_layers_of_stride_one_are_turned_and_their_names_and_weights_stay():
    module = layers()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert speed_up_depthwise(module) == 1
    assert [type(layer) is DepthwiseConv2d for layer in module] == [True, False, False, False, False]
    assert speed_up_depthwise(module) == 0
    after = module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_layer_takes_the_quick_way_in_bfloat16_alone_and_it_makes_no_difference(monkeypatch):
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


def test_the_weight_gradient_is_float32_for_bfloat16_maps():
    x = torch.randn(2, 3, 9, 9).bfloat16()
    found = depthwise_weight_gradient(x, x, (7, 7))
    assert found.shape == (3, 1, 7, 7)
    assert found.dtype == torch.float32
