"""Tests of the reference: counts, names, an even more literal NumPy attention, and its sensitivity."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import timm
import torch
from nn.reference.naive_mfer import Attention, NaiveMFER, gelu, images, load_naive, random_released_state_dict
from timm.models.convnext import checkpoint_filter_fn
from torch import nn

SMALL = {"depths": (1, 1, 2, 1), "dims": (16, 32, 64, 128), "num_classes": 7, "kernel_size": 7}
TOLERANCE = 1e-4  # the tolerance of the parity tests in float32

ATTENTION_LEAVES = (
    *("key.0.weight", "key.0.bias", "key.2.weight", "key.2.bias"),
    *("value.weight", "value.bias", "attn.weight", "attn.bias", "norm.weight", "norm.bias"),
)
BLOCK_LEAVES = (
    *("gamma", "dwconv.weight", "dwconv.bias", "norm.weight", "norm.bias"),
    *("pwconv1.weight", "pwconv1.bias", "pwconv2.weight", "pwconv2.bias"),
)


def released_names(depths: tuple[int, ...]) -> set[str]:
    """Spell out the published layout, independently of how the reference builds itself."""
    names = {f"downsample_layers.{s}.{i}.{leaf}" for s in range(4) for i in (0, 1) for leaf in ("weight", "bias")}
    for s, depth in enumerate(depths):
        names |= {f"stages.{s}.{b}.{leaf}" for b in range(depth) for leaf in BLOCK_LEAVES}
    names |= {f"stages.{s}.{depths[s]}.{leaf}" for s in (2, 3) for leaf in ATTENTION_LEAVES}
    names |= {"norm.weight", "norm.bias"}
    return names | {f"msc.{h}.{fc}.{leaf}" for h in range(3) for fc in ("fc1", "fc2") for leaf in ("weight", "bias")}


def test_base_size_has_the_published_layout_and_parameter_counts():
    with torch.device("meta"):
        model = NaiveMFER()
    state = model.state_dict()
    assert set(state) == released_names((3, 3, 27, 3))
    assert {"stages.2.27.key.0.weight", "stages.3.3.attn.weight"} <= set(state)
    assert state["downsample_layers.0.0.weight"].shape == (128, 3, 4, 4)  # convolution first, then LayerNorm
    assert state["downsample_layers.3.0.weight"].shape == (512,)  # LayerNorm first, then convolution
    assert state["downsample_layers.3.1.weight"].shape == (1024, 512, 2, 2)
    assert state["stages.2.27.attn.weight"].shape == (512, 512, 7, 7)  # dense, not depthwise
    assert state["stages.2.27.key.0.weight"].shape == (64, 512)
    heads = sum(t.numel() for name, t in state.items() if name.startswith("msc."))
    assert heads == 1_918_997
    assert sum(t.numel() for t in state.values()) - heads == 153_438_016


def test_only_biases_everywhere_give_the_published_count():
    plain_convnext_base = 87_566_464  # with its final norm, without a classifier
    weights = sum(2 * c * c // 8 + 49 * c * c + c * c for c in (512, 1024))
    optional = {
        "key.0 bias": sum(c // 8 for c in (512, 1024)),
        "key.2 bias": 512 + 1024,
        "value bias": 512 + 1024,
        "conv bias": 512 + 1024,
        "norm affine": 2 * (512 + 1024),
    }
    fitting = [
        chosen
        for size in range(len(optional) + 1)
        for chosen in itertools.combinations(optional, size)
        if plain_convnext_base + weights + sum(optional[name] for name in chosen) == 153_438_016
    ]
    assert fitting == [tuple(optional)]


def numpy_attention(state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """DS attention on one picture (H, W, C) in float64, one multiplication at a time."""

    def phi(value: float) -> float:
        return 0.5 * value * (1.0 + math.erf(value / math.sqrt(2.0)))

    def affine(name: str, vector: np.ndarray) -> np.ndarray:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return np.array([bias[o] + sum(weight[o, i] * v for i, v in enumerate(vector)) for o in range(len(bias))])

    height, width, channels = x.shape
    kernel = state["attn.weight"]  # (out, in, k, k)
    size = kernel.shape[-1]
    scores, values = np.empty_like(x), np.empty_like(x)
    for i, j in itertools.product(range(height), range(width)):
        hidden = np.array([phi(v) for v in affine("key.0", x[i, j])])
        key = affine("key.2", hidden) * x[i, j]
        query = np.empty(channels)
        for o in range(channels):
            total = state["attn.bias"][o]
            for a, b in itertools.product(range(size), range(size)):
                row, column = i + a - size // 2, j + b - size // 2
                if 0 <= row < height and 0 <= column < width:
                    total += float(np.dot(kernel[o, :, a, b], x[row, column]))
            query[o] = phi(total)
        mean = query.sum() / channels
        variance = ((query - mean) ** 2).sum() / channels
        query = (query - mean) / math.sqrt(variance + 1e-5) * state["norm.weight"] + state["norm.bias"]
        scores[i, j] = key + query
        values[i, j] = affine("value", x[i, j])
    out = np.empty_like(x)
    for c in range(channels):
        normaliser = sum(math.exp(scores[i, j, c]) for i, j in itertools.product(range(height), range(width)))
        for i, j in itertools.product(range(height), range(width)):
            out[i, j, c] = x[i, j, c] + math.exp(scores[i, j, c]) / normaliser * values[i, j, c]
    return out


@pytest.mark.parametrize(("shape", "kernel_size"), [((3, 2), 7), ((4, 5), 3), ((1, 1), 7)])
def test_attention_matches_elementwise_loops(shape, kernel_size):
    torch.manual_seed(0)
    module = Attention(16, kernel_size).double().requires_grad_(False)
    for tensor in module.state_dict().values():
        tensor.copy_(torch.randn_like(tensor))
    x = torch.randn(2, 16, *shape, dtype=torch.float64)
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    expected = np.stack([numpy_attention(state, picture.permute(1, 2, 0).numpy()) for picture in x])
    np.testing.assert_allclose(module(x).permute(0, 2, 3, 1).numpy(), expected, rtol=1e-10, atol=1e-12)


def test_backbone_without_attention_matches_timm_convnext():
    state = random_released_state_dict(1, **SMALL)
    model = load_naive(state, **SMALL).double()
    model.stages[2][2] = model.stages[3][1] = nn.Identity()
    other = timm.create_model("convnext_tiny", num_classes=0, depths=SMALL["depths"], dims=SMALL["dims"]).double()
    backbone = {
        name: tensor.double()
        for name, tensor in state.items()
        if not name.startswith(("msc.", "stages.2.2.", "stages.3.1."))
    }
    other.load_state_dict(checkpoint_filter_fn(backbone, other), strict=True)
    x = images(2, 2, 64).double()
    with torch.no_grad():
        torch.testing.assert_close(model(x).feature, other.eval()(x), rtol=0, atol=1e-10)


def test_heads_use_two_three_and_four_quarters_of_the_feature():
    model = load_naive(random_released_state_dict(3, **SMALL), **SMALL)
    out = model(images(4, 2, 64))
    for head, logits, width in zip(model.msc, out.head_logits, (64, 96, 128), strict=True):
        by_library = nn.functional.linear(out.feature[:, :width], head.fc1.weight, head.fc1.bias)
        by_library = nn.functional.linear(nn.functional.gelu(by_library), head.fc2.weight, head.fc2.bias)
        torch.testing.assert_close(logits, by_library, rtol=0, atol=1e-5)
    torch.testing.assert_close(out.logits, torch.stack(out.head_logits).sum(0), rtol=0, atol=1e-6)


def test_float32_error_is_far_below_the_tolerance():
    state, x = random_released_state_dict(5, **SMALL), images(6, 2, 64)
    single, double = load_naive(state, **SMALL)(x), load_naive(state, **SMALL).double()(x.double())
    assert (single.feature - double.feature).abs().max() < TOLERANCE / 4
    assert (single.logits - double.logits).abs().max() < TOLERANCE / 4


def test_every_released_tensor_affects_the_output_except_the_redundant_one():
    state, x = random_released_state_dict(7, **SMALL), images(8, 2, 64).double()
    model = load_naive(state, **SMALL).double()
    before = model(x)
    silent = []
    for name, tensor in model.state_dict().items():
        original = tensor.clone()
        tensor.copy_(original.flip(0))
        moved = max((a - b).abs().max().item() for a, b in zip(model(x).head_logits, before.head_logits, strict=True))
        tensor.copy_(original)
        if moved < 10 * TOLERANCE:
            silent.append(name)
            assert moved < 1e-12, f"{name} moves the output by {moved}, too little to be compared"
    assert silent == ["stages.2.2.norm.bias", "stages.3.1.norm.bias"]


class Misread(nn.Module):
    """The attention with a plausible ``mistake``."""

    def __init__(self, module: Attention, mistake: str) -> None:
        super().__init__()
        self.module, self.mistake = module, mistake

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        m, mistake = self.module, self.mistake
        plane = x.permute(0, 2, 3, 1)
        key = m.key(plane)
        key = key if mistake == "key without the input" else key * plane
        query = m.attn(x).permute(0, 2, 3, 1)
        query = gelu(m.norm(query)) if mistake == "norm before GELU" else m.norm(gelu(query))
        axes = {"softmax over channels": 3, "softmax over rows": 1}.get(mistake)
        scores = key * query if mistake == "product of the scores" else key + query
        over_map = scores.flatten(1, 2).softmax(dim=1).reshape(scores.shape)
        weight = over_map if axes is None else scores.softmax(dim=axes)
        value = plane if mistake == "no value projection" else m.value(plane)
        out = weight * value if mistake == "no residual" else plane + weight * value
        return out.permute(0, 3, 1, 2)


MISTAKES = (
    *("key without the input", "norm before GELU", "softmax over channels", "softmax over rows"),
    *("product of the scores", "no value projection", "no residual"),
)


@pytest.mark.parametrize("mistake", ["none", *MISTAKES])
@pytest.mark.parametrize("stage", [2, 3])
def test_misread_attention_fails_the_parity_check(mistake, stage):
    model = load_naive(random_released_state_dict(9, **SMALL), **SMALL)
    x = images(10, 2, 64)
    right = model(x).feature
    model.stages[stage][-1] = Misread(model.stages[stage][-1], mistake)
    difference = (model(x).feature - right).abs().max().item()
    if mistake == "none":
        assert difference < TOLERANCE / 4
    else:
        assert difference > 100 * TOLERANCE
