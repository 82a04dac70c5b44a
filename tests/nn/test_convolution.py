"""Convolutions written as matrix products equal torch's own, in values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.nn.convolution import (
    DepthwiseConv2d,
    convolve_taps,
    depthwise,
    depthwise_weight_gradient,
    plain_convolutions,
    speed_up_depthwise,
    taps_pay,
)

#: Batch, channels, height, width: smaller than the kernel, not square, wider than one tile and no multiple of it.
MAPS = [(2, 3, 7, 7), (1, 4, 2, 3), (2, 2, 5, 20), (3, 2, 9, 14), (1, 2, 1, 1), (2, 2, 3, 31)]
KERNELS = [(7, 7), (5, 5), (3, 7)]


def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    inputs = tuple(t.detach().clone().requires_grad_() for t in inputs)
    result = function(*inputs)
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view(result.shape)
    return (result.detach(), *torch.autograd.grad((result * weights).sum(), inputs))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", MAPS)
def test_depthwise_equals_torch_in_values_and_gradients(shape, kernel):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    weight, bias = torch.randn(shape[1], 1, *kernel, dtype=torch.float64), torch.randn(shape[1], dtype=torch.float64)
    padding = (kernel[0] // 2, kernel[1] // 2)
    wanted = gradients(lambda x, w, b: F.conv2d(x, w, b, padding=padding, groups=len(w)), x, weight, bias)
    for found, expected in zip(gradients(depthwise, x, weight, bias), wanted, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", MAPS)
def test_taps_equal_torch_in_values_and_gradients(shape, kernel):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    weight, bias = torch.randn(5, shape[1], *kernel, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    padding = (kernel[0] // 2, kernel[1] // 2)
    wanted = gradients(lambda x, w, b: F.conv2d(x, w, b, padding=padding), x, weight, bias)
    for found, expected in zip(gradients(convolve_taps, x, weight, bias), wanted, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_second_derivative_is_refused_rather_than_wrong():
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(convolve_taps(x, weight, None).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("kind", ["depthwise", "taps"])
def test_under_autocast_results_are_bfloat16_and_gradients_of_weights_as_exact_as_float32_keeps_them(kind):
    torch.manual_seed(0)
    channels = 64
    x = torch.randn(4, channels, 7, 7)
    weight = nn.Parameter(torch.randn(channels, 1 if kind == "depthwise" else channels, 7, 7) / 50)
    function = depthwise if kind == "depthwise" else convolve_taps
    groups = channels if kind == "depthwise" else 1
    with torch.autocast("cpu", torch.bfloat16):
        result = function(x.bfloat16(), weight, None)
    assert result.dtype == torch.bfloat16
    (found,) = torch.autograd.grad(result.float().square().sum(), weight)
    assert found.dtype == torch.float32
    exact = F.conv2d(x.double(), weight.double(), padding=3, groups=groups)
    (wanted,) = torch.autograd.grad(exact.square().sum(), weight)
    assert (result.double() - exact).abs().max() <= 0.02 * exact.abs().max()
    assert (found.double() - wanted).abs().max() <= 0.02 * wanted.abs().max()


def test_the_gradient_lies_in_memory_as_a_channels_last_weight_does():
    weight = nn.Parameter(torch.randn(4, 4, 7, 7).contiguous(memory_format=torch.channels_last))
    convolve_taps(torch.randn(2, 4, 5, 5), weight, None).sum().backward()
    assert weight.grad is not None
    assert weight.grad.stride() == weight.stride()


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
    import mfer_lightning.nn.convolution as module

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


def test_taps_are_taken_on_small_maps_of_many_channels():
    conv = nn.Conv2d(256, 256, 7, padding=3)
    assert taps_pay(conv, torch.zeros(1, 256, 7, 7))
    assert not taps_pay(conv, torch.zeros(1, 256, 14, 14))  # most taps meet the map
    assert not taps_pay(conv, torch.zeros(1, 256, 7, 7, device="meta"))
    assert not taps_pay(nn.Conv2d(64, 64, 7, padding=3), torch.zeros(1, 64, 7, 7))
    with plain_convolutions():
        assert not taps_pay(conv, torch.zeros(1, 256, 7, 7))


def test_the_weight_gradient_is_float32_for_bfloat16_maps():
    x = torch.randn(2, 3, 9, 9).bfloat16()
    found = depthwise_weight_gradient(x, x, (7, 7))
    assert found.shape == (3, 1, 7, 7)
    assert found.dtype == torch.float32
