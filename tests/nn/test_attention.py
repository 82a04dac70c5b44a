"""DS attention: counts, the formula position by position, layouts, precision, gradients."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn.attention import ATTENTIONS, ConvControl, DSAttention, build_attention, conv_within_map


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def gelu(x: float) -> float:
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def naive(attention: DSAttention, x: torch.Tensor, branches: str = "both", eps: float = 1e-5) -> torch.Tensor:
    """The formula with plain loops over samples, positions and channels; x is (B,C,H,W) float64."""
    p = {name: t.tolist() for name, t in attention.state_dict().items()}
    B, C, H, W = x.shape
    out = torch.empty_like(x)
    for b in range(B):
        at = {(i, j): x[b, :, i, j].tolist() for i in range(H) for j in range(W)}

        def linear(name: str, v: list[float]) -> list[float]:
            return [
                sum(w * a for w, a in zip(row, v, strict=True)) + bias
                for row, bias in zip(p[f"{name}.weight"], p[f"{name}.bias"], strict=True)
            ]

        score, value = {}, {}
        for (i, j), v in at.items():
            value[i, j] = linear("value", v)
            score[i, j] = [0.0] * C
            if branches != "static":
                key = linear("key.2", [gelu(h) for h in linear("key.0", v)])
                score[i, j] = [k * a for k, a in zip(key, v, strict=True)]
            if branches != "dynamic":
                kernel = p["attn.weight"]
                side = len(kernel[0][0])
                dense = len(kernel[0]) == C
                query = list(p["attn.bias"])
                for o in range(C):
                    for c in range(C) if dense else [o]:
                        for di in range(side):
                            for dj in range(side):
                                place = (i + di - side // 2, j + dj - side // 2)
                                if place in at:
                                    query[o] += kernel[o][c if dense else 0][di][dj] * at[place][c]

                def normed(v: list[float]) -> list[float]:
                    mean = sum(v) / C
                    var = sum((a - mean) ** 2 for a in v) / C
                    return [
                        (a - mean) / math.sqrt(var + eps) * g + s
                        for a, g, s in zip(v, p["norm.weight"], p["norm.bias"], strict=True)
                    ]

                if attention.norm_order == "gelu_norm":
                    query = normed([gelu(q) for q in query])
                else:
                    query = [gelu(q) for q in normed(query)]
                score[i, j] = [s + q for s, q in zip(score[i, j], query, strict=True)]
        for c in range(C):
            total = sum(math.exp(score[place][c]) for place in at)
            for (i, j), v in at.items():
                weight = math.exp(score[i, j][c]) / total
                out[b, c, i, j] = weight * value[i, j][c] + (v[c] if attention.residual else 0.0)
    return out


@pytest.mark.parametrize("C", [8, 40, 512, 1024])
def test_parameter_count_matches_the_formula(C):
    r = C // 8
    key = (C * r + r) + (r * C + C)
    value = C * C + C
    static = 49 * C * C + C
    assert count(DSAttention(C)) == key + value + static + 2 * C


def test_paper_modules_have_13_2_and_52_7_million_parameters():
    assert count(DSAttention(512)) == 13_175_360
    assert count(DSAttention(1024)) == 52_696_192


def test_variants_have_only_the_parameters_of_their_branches():
    C, r = 64, 8
    key, value, dense, norm = 2 * C * r + r + C, C * C + C, 49 * C * C + C, 2 * C
    assert count(DSAttention(C, branches="dynamic")) == key + value
    assert count(DSAttention(C, branches="static")) == value + dense + norm
    assert count(DSAttention(C, static="depthwise")) == key + value + 49 * C + C + norm
    assert count(DSAttention(C, kernel_size=3, reduction=4)) == (2 * C * 16 + 16 + C) + value + 9 * C * C + C + norm


@pytest.mark.parametrize("C", [20, 64, 512])
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_control_has_as_many_parameters_as_ds_attention(C, kernel_size):
    assert count(ConvControl(C, kernel_size=kernel_size)) == count(DSAttention(C, kernel_size=kernel_size))


def test_control_does_not_mix_distant_positions():
    control = ConvControl(4, kernel_size=3).double()
    x = torch.randn(1, 4, 9, 9, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(control(x)[0, :, 4, 4].sum(), x)
    reached = gradient.abs().sum((0, 1)) > 0
    assert reached[3:6, 3:6].all()
    assert reached.sum() == 9


@pytest.mark.parametrize("norm_order", ["gelu_norm", "norm_gelu"])
@pytest.mark.parametrize("static", ["dense", "depthwise"])
@pytest.mark.parametrize("residual", [True, False])
def test_matches_the_formula_written_as_loops(norm_order, static, residual):
    torch.manual_seed(0)
    attention = DSAttention(4, kernel_size=3, reduction=2, norm_order=norm_order, static=static, residual=residual)
    attention = attention.double()
    torch.nn.init.normal_(attention.norm.weight)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(attention(x), naive(attention, x), rtol=1e-12, atol=1e-12)


def test_norm_epsilon_is_an_option():
    torch.manual_seed(0)
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64)
    former = DSAttention(4, kernel_size=3, norm_eps=1e-6).double()
    torch.testing.assert_close(former(x), naive(former, x, eps=1e-6), rtol=1e-12, atol=1e-12)
    assert (former(x) - naive(former, x)).abs().max() > 1e-9


LAYERS = (torch.nn.Conv2d, torch.nn.Linear)


@pytest.mark.parametrize(
    "build",
    [partial(DSAttention, 128), partial(DSAttention, 128, static="depthwise"), partial(ConvControl, 128)],
    ids=["ds", "depthwise", "conv"],
)
def test_layers_are_initialised_as_in_the_released_code(build):
    torch.manual_seed(0)
    layers = [layer for layer in build().modules() if isinstance(layer, LAYERS)]
    assert len(layers) == 4
    for layer in layers:
        spread = layer.weight.std().item()
        assert spread == pytest.approx(0.02, rel=4 / math.sqrt(2 * layer.weight.numel()))  # four standard errors
        assert abs(layer.weight.mean().item()) < 4 * 0.02 / math.sqrt(layer.weight.numel())
        assert not layer.bias.any()


def test_torch_initialisation_is_an_option_and_leaves_the_random_state_unchanged():
    torch.manual_seed(0)
    expected = torch.nn.Linear(16, 2).weight, torch.nn.Linear(2, 16).weight
    torch.manual_seed(0)
    attention = DSAttention(16, branches="dynamic", init="torch")
    torch.testing.assert_close((attention.key[0].weight, attention.key[2].weight), expected, rtol=0, atol=0)
    assert attention.value.bias.any()


@pytest.mark.parametrize("branches", ["dynamic", "static"])
def test_single_branch_matches_the_formula_written_as_loops(branches):
    torch.manual_seed(1)
    attention = DSAttention(4, kernel_size=7, branches=branches).double()
    x = torch.randn(2, 4, 4, 4, dtype=torch.float64)  # a 7x7 kernel on a 4x4 map
    torch.testing.assert_close(attention(x), naive(attention, x, branches), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [DSAttention, ConvControl])
def test_nhwc_maps_give_the_same_result_as_nchw_maps(make):
    first = make(8, layout="NCHW")
    second = make(8, layout="NHWC")
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(second(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), first(x))


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_format_is_preserved(memory_format, residual):
    attention = DSAttention(8, residual=residual)
    x = torch.randn(2, 8, 5, 6)
    expected = attention(x)
    out = attention.to(memory_format=memory_format)(x.to(memory_format=memory_format))
    assert out.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(out, expected)


def test_weights_of_each_channel_sum_to_one_over_the_map():
    attention = DSAttention(8, residual=False)
    torch.nn.init.zeros_(attention.value.weight)
    torch.nn.init.ones_(attention.value.bias)  # the value is 1 everywhere, so the output is the weights
    out = attention(torch.randn(3, 8, 6, 7))
    torch.testing.assert_close(out.sum((2, 3)), torch.ones(3, 8))


def test_every_parameter_has_a_gradient_except_the_redundant_norm_bias():
    # A constant added to the scores of a channel at all positions does not change its softmax.
    attention = DSAttention(8).double()
    attention(torch.randn(2, 8, 5, 5, dtype=torch.float64)).square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.abs().max() < 1e-12) == (name == "norm.bias"), name


@pytest.mark.parametrize("branches", ["both", "dynamic", "static"])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_bfloat16_is_finite_at_any_scale(branches, scale):
    attention = DSAttention(16, branches=branches)
    x = (scale * torch.randn(2, 16, 6, 6)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(x)
    out.float().sum().backward()
    assert out.dtype == torch.float32  # the residual stream keeps its precision
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()


def test_half_precision_products_do_not_overflow():
    attention = DSAttention(16, branches="dynamic").half()
    torch.nn.init.constant_(attention.key[2].bias, 500.0)
    x = torch.full((1, 16, 4, 4), 500.0, dtype=torch.float16)  # key * image is 250,000, float16 ends at 65,504
    out = attention(x)
    assert out.dtype == torch.float16
    assert torch.isfinite(out).all()


def test_gradcheck():
    attention = DSAttention(3, kernel_size=3, reduction=1).double()
    x = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attention, (x,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "`kernel_size` to be a positive odd integer, but got 4"),
        ({"reduction": 0}, "`reduction` to be a positive integer, but got 0"),
        ({"norm_order": "norm"}, r"`norm_order` to be one of \('gelu_norm', 'norm_gelu'\), but got 'norm'"),
        ({"static": "sparse"}, r"`static` to be one of \('dense', 'depthwise'\), but got 'sparse'"),
        ({"branches": "none"}, r"`branches` to be one of \('both', 'dynamic', 'static'\), but got 'none'"),
        ({"norm_eps": 0.0}, "`norm_eps` to be more than 0, but got 0.0"),
        ({"init": "xavier"}, r"`init` to be one of \('trunc_normal', 'torch'\), but got 'xavier'"),
        ({"layout": "HWC"}, r"`layout` to be one of \('NCHW', 'NHWC'\), but got 'HWC'"),
    ],
)
def test_invalid_arguments_list_the_valid_ones(options, message):
    with pytest.raises(ValueError, match=message):
        DSAttention(8, **options)


def test_build_turns_value_errors_into_user_errors():
    with pytest.raises(UserError, match=r"Attention 'ds'.*kernel_size"):
        build_attention({"name": "ds", **ATTENTIONS["ds"], "kernel_size": 2}, 8, "NCHW")


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (2, 7), (3, 3), (4, 4)])
@pytest.mark.parametrize("groups", [1, 6])
def test_skipping_taps_on_padding_does_not_change_the_result(size: tuple[int, int], groups: int) -> None:
    conv = torch.nn.Conv2d(6, 6, 7, padding=3, groups=groups).double()
    maps = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    whole, cropped = conv(maps), conv_within_map(conv, maps)
    torch.testing.assert_close(cropped, whole, rtol=1e-12, atol=1e-12)
    seed = torch.randn_like(whole)
    for ours, theirs in zip(
        torch.autograd.grad(cropped, [maps, conv.weight, conv.bias], seed),
        torch.autograd.grad(whole, [maps, conv.weight, conv.bias], seed),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradients_on_maps_smaller_than_the_kernel_are_finite_in_bfloat16() -> None:
    # The oneDNN gradient of a 7x7 kernel on a 2x2 map was not finite in about half of such trials.
    for _ in range(8):
        attention = DSAttention(128)
        junk = torch.full((4_000_000,), float("nan"))
        del junk
        with torch.autocast("cpu", torch.bfloat16):
            attention(torch.randn(32, 128, 2, 2)).float().square().sum().backward()
        assert torch.isfinite(attention.attn.weight.grad).all()
