"""Axes: options that follow from another choice are not axes, and axes have readable names."""

from __future__ import annotations

import pytest

from mfer_lightning.config.augment_forms import presets
from mfer_lightning.reporting.study.axes import find_axes, flatten

CE = {"loss.name": "ce", "loss.weight": "0", "attention.name": "none", "lr": "0.1"}
DSF = {**CE, "loss.name": "dsf", "loss.weight": "1", "loss.temperature": "0.25"}


def keys(*configs: dict[str, str]) -> list[str]:
    return [axis.key for axis in find_axes(configs)]


def test_equal_configurations_have_no_axis():
    assert keys(CE, CE) == []


def test_option_implied_by_a_choice_is_not_an_axis():
    assert keys(CE, DSF) == ["loss.name"]


def test_option_that_varies_within_a_choice_is_an_axis():
    assert keys(CE, DSF, {**DSF, "loss.temperature": "0.5"}) == ["loss.name", "loss.temperature"]


def test_options_that_change_together_form_one_axis():
    (axis,) = find_axes([{"lr": "0.1", "wd": "1", "optimizer.lr": "3"}, {"lr": "0.2", "wd": "2", "optimizer.lr": "4"}])
    assert (axis.key, axis.tied) == ("optimizer.lr", ("lr", "wd"))


def test_known_axes_come_first():
    assert keys(CE, {**CE, "lr": "0.2"}, {**CE, "attention.name": "ds"}, DSF) == ["loss.name", "attention.name", "lr"]


def augmented(**changes: object) -> dict[str, str]:
    return flatten({"augment": {"name": "standard", **presets()["standard"], **changes}})


def test_augmentations_are_compared_by_option_also_with_older_runs():
    flip, warp = presets()["standard"]["flip"], presets()["standard"]["warp"]
    before = flatten({"augment": {"name": "standard"}})
    assert augmented() == before
    assert [a.title for a in find_axes([before, augmented(flip={**flip, "p": 0})])] == ["augment.flip.p"]
    assert flatten({"augment": {"name": "standard", "rotate": 20}}) == augmented(warp={**warp, "rotate": 20})
    assert keys(before, flatten({"augment": {"name": "paper"}})) == ["augment.name"]
    assert [a.title for a in find_axes([before, augmented(warp=None)])] == ["augment.warp"]
    blur = {"_target_": "albumentations.GaussianBlur", "p": 0.2}
    assert [a.title for a in find_axes([before, augmented(blur=blur)])] == ["augment.blur"]
    assert flatten({"augment": {"name": "of another time"}}) == {"augment.name": "of another time"}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"seed": 1}, False),
        ({"paths": {"data": "elsewhere", "runs": "r"}, "dataset": {"root": "elsewhere/rafdb"}}, False),
        ({"logger": {"name": "wandb"}}, False),
        ({"trainer": {"devices": 4, "max_epochs": 3}}, False),
        ({"track_test": True}, False),
        ({"report": False}, False),
        ({"dataset": {"root": "d/other"}}, True),
        ({"trainer": {"devices": 1, "max_epochs": 4}}, True),
    ],
)
def test_options_that_define_a_method(change, counts):
    config = {
        "seed": 0,
        "paths": {"data": "d", "runs": "r"},
        "dataset": {"root": "d/rafdb"},
        "logger": {"name": "csv"},
        "trainer": {"devices": 1, "max_epochs": 3},
        "track_test": False,
        "report": True,
    }
    assert (flatten({**config, **change}) != flatten(config)) is counts


def test_networks_from_before_the_attention_options_are_distinguished() -> None:
    before, today = {"name": "ds"}, {"name": "ds", "norm_eps": 1e-5, "init": "trunc_normal"}
    plain, former, now = (flatten({"attention": node}) for node in ({"name": "none"}, before, today))
    assert plain == {"attention.name": "none"}
    assert (former["attention.norm_eps"], now["attention.norm_eps"]) == ("1e-06", "1e-05")
    assert [axis.key for axis in find_axes([plain, now])] == ["attention.name"]
    assert [axis.key for axis in find_axes([plain, former, now])] == ["attention.name", "attention.init"]


def test_part_added_later_is_not_an_axis_if_older_runs_lack_it():
    earlier = {"loss": {"name": "ce"}}
    none = {"name": "none", "loss": None, "weight": 1.0}
    baseline = {"name": "baseline", "_target_": "mfer_lightning.methods.Baseline"}
    today = {**earlier, "adapter": {"name": "none"}, "method": baseline, "valence_arousal": none}
    assert find_axes([flatten(earlier), flatten(today)]) == ()
    ccc = {**today, "valence_arousal": {**none, "name": "ccc", "loss": {"_target_": "ConcordanceLoss"}}}
    for other in (earlier, today):
        (axis,) = find_axes([flatten(other), flatten(ccc)])
        assert (axis.title, axis.tied) == ("valence/arousal", ())
