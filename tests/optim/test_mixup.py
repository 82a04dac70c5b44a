"""Mixup: images and targets are mixed in the same proportions.

Image i of a batch is 1 in channel i and 0 in all others (one-hot), with one channel per sample. The mean over the
pixels of a mixed image is then the proportion of each sample in it, whether images were blended or boxes were pasted.
"""
# ruff: noqa: NPY002 (timm draws from NumPy's global stream, which is what is tested)

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfer_lightning.optim import Mixup


def coded(count, size=16):
    image = torch.eye(count)[:, :, None, None].expand(count, count, size, size).contiguous()
    return {"image": image, "target": torch.eye(count), "label": torch.arange(count), "index": torch.arange(count)}


MODES = ["batch", "pair", "elem"]


@pytest.mark.parametrize("count", [1, 2, 5, 8])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("alphas", [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_targets_match_the_mixing_proportions_of_the_images(count, mode, alphas):
    mixup = Mixup(mixup_alpha=alphas[0], cutmix_alpha=alphas[1], mode=mode)
    for step in range(4):
        mixed = mixup(coded(count), step=step)
        assert mixed["image"].shape == (count, count, 16, 16)
        torch.testing.assert_close(mixed["target"], mixed["image"].mean((2, 3)))


@pytest.mark.parametrize("mode", MODES)
def test_mixing_has_an_effect(mode):
    mixed = Mixup(mixup_alpha=1.0, cutmix_alpha=1.0, mode=mode)(coded(8), step=1)
    assert (mixed["target"].amax(1) < 0.999).any()


def test_soft_targets_are_mixed_with_the_same_proportions():
    batch = coded(5)
    batch["target"] = torch.rand(5, 3).softmax(1)
    mixed = Mixup(mixup_alpha=1.0, cutmix_alpha=0.0)(batch, step=3)
    shares = mixed["image"].mean((2, 3))
    torch.testing.assert_close(mixed["target"], shares @ batch["target"])
    torch.testing.assert_close(mixed["target"].sum(1), torch.ones(5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_targets_are_exact_under_autocast(dtype):
    batch = coded(64, size=4)
    batch["target"] = torch.rand(64, 8, generator=torch.Generator().manual_seed(0)).softmax(1)
    mixup = Mixup(mixup_alpha=1.0, cutmix_alpha=1.0, mode="elem")
    expected = mixup(batch, step=0)["target"]
    with torch.autocast("cpu", dtype=dtype):
        found = mixup(batch, step=0)["target"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_input_batch_is_not_modified_and_other_keys_are_kept():
    batch = coded(6)
    before = {key: value.clone() for key, value in batch.items()}
    mixed = Mixup(mixup_alpha=1.0)(batch, step=0)
    for key, value in before.items():
        assert torch.equal(batch[key], value)
    assert mixed["label"] is batch["label"]
    assert mixed["index"] is batch["index"]


def test_zero_probability_changes_nothing():
    batch = coded(5)
    mixed = Mixup(prob=0.0)(batch, step=0)
    assert torch.equal(mixed["image"], batch["image"])
    assert torch.equal(mixed["target"], batch["target"])


def test_mixing_depends_only_on_seed_and_step():
    mixup = Mixup(seed=7)
    first = mixup(coded(6), step=5)["target"]
    np.random.rand(3)
    mixup(coded(4), step=6)
    assert torch.equal(Mixup(seed=7)(coded(6), step=5)["target"], first)
    others = [Mixup(seed=8)(coded(6), step=5), mixup(coded(6), step=6), mixup(coded(6), step=5, rank=1)]
    for other in others:
        assert not torch.equal(other["target"], first)


def test_seeded_step_does_not_use_the_global_random_state():
    np.random.seed(0)
    expected = np.random.rand(2).tolist()
    np.random.seed(0)
    found = [np.random.rand()]
    Mixup()(coded(4), step=1)
    assert [*found, np.random.rand()] == expected


def test_integer_images_are_rejected():
    batch = coded(4)
    batch["image"] = (batch["image"] * 255).byte()
    with pytest.raises(ValueError, match="floating"):
        Mixup()(batch, step=0)


def test_mismatched_targets_are_rejected():
    with pytest.raises(ValueError, match="target"):
        Mixup()({**coded(4), "target": torch.eye(3)}, step=0)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"mixup_alpha": -1.0}, "mixup_alpha"),
        ({"cutmix_alpha": float("inf")}, "cutmix_alpha"),
        ({"mixup_alpha": 0.0, "cutmix_alpha": 0.0}, "mixup_alpha"),
        ({"prob": 1.5}, "prob"),
        ({"switch_prob": -0.5}, "switch_prob"),
        ({"mode": "half"}, "mode"),
    ],
)
def test_invalid_arguments_raise_value_error(options, argument):
    with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
        Mixup(**options)


@pytest.mark.parametrize("alphas", [(0.8, 0.0), (0.0, 1.0)])
def test_valence_and_arousal_are_mixed_and_missing_values_stay_missing(alphas):
    batch = coded(5)
    values = torch.linspace(-1, 1, 10).reshape(5, 2)
    batch["valence_arousal"] = values.clone()
    batch["valence_arousal"][1, 0] = torch.nan
    for step in range(4):
        mixed = Mixup(mixup_alpha=alphas[0], cutmix_alpha=alphas[1], mode="elem")(batch, step=step)
        shares = mixed["image"].mean((2, 3))
        found = mixed["valence_arousal"]
        torch.testing.assert_close(found[:, 1], (shares @ values)[:, 1])
        gaps = shares[:, 1] > 0
        assert found[:, 0].isnan().tolist() == gaps.tolist()
        torch.testing.assert_close(found[~gaps, 0], (shares @ values)[~gaps, 0])
    assert batch["valence_arousal"].isnan().sum() == 1  # the input batch is not modified
