"""Parity of the package's MFER with the independent reference, through the public interface.

A file in the released layout goes into both; features and logits must agree. The tests do not depend on how
the package builds its network, so that a refactoring cannot change them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from nn.reference.naive_mfer import NaiveOutput, images, load_naive, random_released_state_dict
from torch import Tensor

from mfer_lightning.errors import UserError

try:
    from mfer_lightning import MFER
except ImportError:
    from mfer_lightning.nn import MFER
from mfer_lightning.nn import load_released_weights

TOLERANCE = 1e-4
DEPTHS, DIMS = (1, 1, 2, 1), (16, 32, 64, 128)
ATTENTION = ("stages.2.2.", "stages.3.1.")
REFUSALS = (UserError, ValueError)


def small(num_classes: int = 7, name: str = "convnext_tiny") -> torch.nn.Module:
    backbone = {"name": name, "options": {"depths": list(DEPTHS), "dims": list(DIMS)}}
    return MFER(backbone=backbone, num_classes=num_classes).eval()


def small_state(seed: int, num_classes: int = 7) -> dict[str, Tensor]:
    return random_released_state_dict(seed, depths=DEPTHS, dims=DIMS, num_classes=num_classes)


def reference(state: dict[str, Tensor], num_classes: int = 7) -> torch.nn.Module:
    return load_naive(state, depths=DEPTHS, dims=DIMS, num_classes=num_classes)


@torch.no_grad()
def evaluate(model: torch.nn.Module, x: Tensor) -> Mapping[str, Any]:
    return model.eval()(x)


def assert_agree(out: Mapping[str, Any], expected: NaiveOutput, tolerance: float = TOLERANCE) -> None:
    assert len(out["head_logits"]) == len(expected.head_logits) == 3
    torch.testing.assert_close(out["feature"], expected.feature, rtol=0, atol=tolerance)
    for mine, theirs in zip(out["head_logits"], expected.head_logits, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)
    torch.testing.assert_close(out["logits"], expected.logits, rtol=0, atol=3 * tolerance)  # a sum of three


@pytest.mark.parametrize("size", [64, 96, 128])
@pytest.mark.parametrize("num_classes", [7, 8])
def test_small_network_matches_the_reference(num_classes, size):
    state, x = small_state(11, num_classes), images(12, 3, size)
    model = small(num_classes)
    load_released_weights(model, state)
    out = evaluate(model, x)
    assert out["feature"].shape == (3, DIMS[3])
    assert out["logits"].shape == (3, num_classes)
    assert_agree(out, reference(state, num_classes)(x))


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_atto"])  # linear layers, or 1x1 convolutions instead
def test_both_timm_block_implementations_match_the_reference(name):
    state, x = small_state(13), images(14, 2, 64)
    model = small(name=name)
    load_released_weights(model, state)
    assert_agree(evaluate(model, x), reference(state)(x))


def test_float64_difference_is_only_rounding():
    # An epsilon of 1e-5 instead of 1e-6 (or vice versa) or the tanh form of GELU passes in float32, but fails here.
    state, x = small_state(15), images(16, 2, 64).double()
    model = small()
    load_released_weights(model, state)
    assert_agree(evaluate(model.double(), x), reference(state).double()(x), tolerance=1e-10)


def test_non_square_images_in_channels_last_match():
    state, x = small_state(17), images(18, 2, 128)[:, :, :96, :]
    model = small()
    load_released_weights(model, state)
    expected = reference(state)(x)
    assert_agree(evaluate(model, x), expected)
    model = model.to(memory_format=torch.channels_last)
    assert_agree(evaluate(model, x.to(memory_format=torch.channels_last)), expected)


def test_every_released_tensor_is_loaded_unchanged():
    # Outputs cannot show this for the bias of the attention's LayerNorm (see naive_mfer), so look at the values.
    state = small_state(19)
    untouched = {name: tensor.clone() for name, tensor in state.items()}
    model = small()
    load_released_weights(model, state)
    arrived = [tensor.flatten() for tensor in model.state_dict().values()]
    missing = [
        name
        for name, tensor in state.items()
        if not any(other.shape == (tensor.numel(),) and torch.equal(other, tensor.flatten()) for other in arrived)
    ]
    assert not missing
    assert sum(p.numel() for p in model.parameters()) == sum(tensor.numel() for tensor in state.values())
    assert state.keys() == untouched.keys()
    assert all(torch.equal(state[name], untouched[name]) for name in state)


SAMPLES = (
    *("downsample_layers.0.0.weight", "downsample_layers.2.1.bias", "stages.2.1.gamma", "stages.0.0.dwconv.weight"),
    *("stages.1.0.pwconv1.bias", "norm.weight", "msc.1.fc1.weight", "msc.2.fc2.bias"),
    *(f"{ATTENTION[0]}{leaf}" for leaf in ("key.0.weight", "key.2.bias", "value.weight", "attn.bias")),
    *(f"{ATTENTION[1]}{leaf}" for leaf in ("attn.weight", "norm.bias")),
)


def refusal(state: dict[str, Tensor]) -> str:
    """Load into a new small network, expect an error that leaves the network unchanged, and return its message."""
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(REFUSALS) as caught:
        load_released_weights(model, state)
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items()), "half-loaded"
    return str(caught.value)


@pytest.mark.parametrize("name", SAMPLES)
def test_missing_tensor_is_named(name):
    state = small_state(20)
    del state[name]
    assert name in refusal(state)


@pytest.mark.parametrize(
    "name",
    [
        *("stages.2.3.gamma", "stages.3.1.gate.weight", "head.weight", "msc.3.fc1.weight"),
        *("downsample_layers.4.0.weight", "stages.0.0.extra", "surplus"),
    ],
)
def test_unexpected_tensor_is_named(name):
    assert name in refusal({**small_state(21), name: torch.zeros(4)})


@pytest.mark.parametrize("name", SAMPLES)
def test_tensor_of_the_wrong_shape_is_named(name):
    state = small_state(22)
    state[name] = torch.cat([state[name], state[name][:1]])
    assert name in refusal(state)


def test_tensor_with_the_right_size_but_wrong_shape_is_rejected():
    # A reshape that only counts elements would scramble these silently.
    for name, shape in {"stages.0.0.pwconv1.weight": (16, 64), f"{ATTENTION[0]}key.0.weight": (64, 8)}.items():
        state = small_state(23)
        state[name] = state[name].reshape(shape)
        assert name in refusal(state)


def test_weights_for_another_number_of_classes_are_rejected_by_name():
    message = refusal(small_state(24, num_classes=8))
    assert "msc.0.fc2.weight" in message


def test_file_without_heads_gives_the_same_feature_and_keeps_the_heads():
    # The heads are optional in the published layout.
    state, x = small_state(27), images(28, 2, 64)
    model = small()
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_released_weights(model, {name: tensor for name, tensor in state.items() if not name.startswith("msc.")})
    torch.testing.assert_close(evaluate(model, x)["feature"], reference(state)(x).feature, rtol=0, atol=TOLERANCE)
    kept = sum(t.numel() for name, t in model.state_dict().items() if torch.equal(t, fresh[name]))
    assert kept == sum(tensor.numel() for name, tensor in state.items() if name.startswith("msc."))


def test_file_with_two_of_three_heads_is_rejected_by_name():
    state = {name: tensor for name, tensor in small_state(29).items() if not name.startswith("msc.1.")}
    assert "msc.1.fc1.weight" in refusal(state)


@pytest.mark.slow
@pytest.mark.parametrize("size", [224, 112])
def test_base_size_matches_the_reference(size):
    state, x = random_released_state_dict(25), images(26, 2, size)
    expected = load_naive(state)(x)
    model = MFER(backbone="convnext_base", num_classes=7)
    load_released_weights(model, state)
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == 153_438_016 + 1_918_997
    out = evaluate(model, x)
    assert out["feature"].shape == (2, 1024)
    assert_agree(out, expected)
