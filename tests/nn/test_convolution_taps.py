"""Dense convolutions computed tap by tap equal torch's own, in values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from nn.convolutions import KERNELS, MAPS, gradients
from torch import nn

from mfer_lightning.nn.convolution import convolve_depthwise, convolve_taps


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", MAPS)
def test_taps_match_torch_in_values_and_gradients(shape, kernel):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    weight, bias = torch.randn(5, shape[1], *kernel, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    padding = (kernel[0] // 2, kernel[1] // 2)
    wanted = gradients(lambda x, w, b: F.conv2d(x, w, b, padding=padding), x, weight, bias)
    for found, expected in zip(gradients(convolve_taps, x, weight, bias), wanted, strict=True):
        torch.testing.assert_close(found, expected)


def test_second_derivative_raises_instead_of_being_wrong():
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(convolve_taps(x, weight, None).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("kind", ["depthwise", "taps"])
def test_autocast_output_is_bfloat16_with_float32_weight_gradients(kind):
    torch.manual_seed(0)
    channels = 64
    x = torch.randn(4, channels, 7, 7)
    weight = nn.Parameter(torch.randn(channels, 1 if kind == "depthwise" else channels, 7, 7) / 50)
    function = convolve_depthwise if kind == "depthwise" else convolve_taps
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


def test_weight_gradient_is_channels_last():
    weight = nn.Parameter(torch.randn(4, 4, 7, 7).contiguous(memory_format=torch.channels_last))
    convolve_taps(torch.randn(2, 4, 5, 5), weight, None).sum().backward()
    assert weight.grad is not None
    assert weight.grad.stride() == weight.stride()


def test_empty_batch_gives_empty_output():
    x = torch.randn(0, 4, 7, 7, requires_grad=True)
    weight = torch.randn(6, 4, 7, 7, requires_grad=True)
    out = convolve_taps(x, weight, None)
    out.sum().backward()
    assert out.shape == (0, 6, 7, 7)
    assert weight.grad is not None
    assert not weight.grad.any()
