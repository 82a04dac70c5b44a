"""Schedules against torch's own, which step by epoch, and against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, MultiStepLR

from mfer_lightning.optim import build_schedule

EPOCHS, STEPS = 6, 5


def optimizer(rates=(0.1, 1.0)):
    return SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])


def rates(name, **options):
    """Rates of both groups at each optimizer step of the run."""
    target = optimizer()
    schedule = build_schedule(target, name, total_steps=EPOCHS * STEPS, steps_per_epoch=STEPS, **options)
    found = []
    for _ in range(EPOCHS * STEPS):
        found.append([g["lr"] for g in target.param_groups])
        target.step()
        schedule.step()
    return found


def by_epoch(make):
    """Rates of torch's scheduler, stepped once an epoch."""
    target = optimizer()
    schedule = make(target)
    found = []
    for _ in range(EPOCHS):
        found += [[g["lr"] for g in target.param_groups]] * STEPS
        target.step()
        schedule.step()
    return found


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a == pytest.approx(b, rel=1e-9)


def test_exponential_is_torchs_exponential_by_epoch():
    assert_equal(rates("exponential", gamma=0.95), by_epoch(lambda o: ExponentialLR(o, 0.95)))


def test_step_is_torchs_multi_step_by_epoch():
    expected = by_epoch(lambda o: MultiStepLR(o, [2, 5], 0.1))
    assert_equal(rates("step", gamma=0.1, milestones=[2, 5]), expected)


def test_cosine_is_torchs_cosine_by_step():
    target = optimizer()
    schedule = CosineAnnealingLR(target, T_max=EPOCHS * STEPS)
    expected = []
    for _ in range(EPOCHS * STEPS):
        expected.append([g["lr"] for g in target.param_groups])
        target.step()
        schedule.step()
    assert_equal(rates("cosine"), expected)


def test_constant_is_constant():
    assert_equal(rates("constant"), [[0.1, 1.0]] * (EPOCHS * STEPS))


@pytest.mark.parametrize("name", ["constant", "cosine", "exponential", "step"])
def test_warm_up_rises_in_a_line_and_hands_over_at_the_peak(name):
    options = {"milestones": [5]} if name == "step" else {}
    found = [row[1] for row in rates(name, warmup_epochs=1.4, **options)]
    assert found[:7] == pytest.approx([(i + 1) / 7 for i in range(7)])
    assert found[7] == pytest.approx(1.0)


def test_exponential_counts_epochs_from_the_end_of_warm_up():
    found = [row[1] for row in rates("exponential", warmup_epochs=1, gamma=0.5)]
    assert found[STEPS : STEPS + 11] == pytest.approx([1.0] * 5 + [0.5] * 5 + [0.25])


def test_cosine_with_warm_up_and_floor_is_its_closed_form():
    found = [row[0] for row in rates("cosine", warmup_epochs=2, min_lr_ratio=0.1)]
    for step in range(10, 30):
        shape = 0.5 * (1 + math.cos(math.pi * (step - 10) / 20))
        assert found[step] == pytest.approx(0.1 * (0.1 + 0.9 * shape))


@pytest.mark.parametrize(("name", "options"), [("exponential", {}), ("step", {"milestones": [1, 2, 3]})])
def test_the_smallest_factor_is_a_floor(name, options):
    found = [row[1] for row in rates(name, gamma=0.1, min_lr_ratio=0.05, **options)]
    assert min(found) == pytest.approx(0.05)


def test_after_the_run_the_rate_stays_at_its_end():
    target = optimizer()
    schedule = build_schedule(target, "cosine", total_steps=4, steps_per_epoch=2, min_lr_ratio=0.25)
    for _ in range(9):
        target.step()
        schedule.step()
    assert target.param_groups[1]["lr"] == pytest.approx(0.25)


def test_a_resumed_run_follows_its_own_settings():
    target = optimizer()
    first = build_schedule(target, "cosine", total_steps=10, steps_per_epoch=5)
    for _ in range(5):
        target.step()
        first.step()
    state = first.state_dict()
    longer = build_schedule(optimizer(), "cosine", total_steps=20, steps_per_epoch=5)
    longer.load_state_dict(state)
    assert longer.last_epoch == 5
    longer.optimizer.step()
    longer.step()
    assert longer.get_last_lr()[1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 6 / 20)))


def test_the_state_is_plain(tmp_path):
    schedule = build_schedule(optimizer(), "step", 10, 5, milestones=(1,))
    torch.save(schedule.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["last_epoch"] == 0


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"name": "poly"}, "name"),
        ({"total_steps": 0}, "total_steps"),
        ({"total_steps": 1.5}, "total_steps"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
        ({"warmup_epochs": -1}, "warmup_epochs"),
        ({"warmup_epochs": 2}, "warmup_epochs"),
        ({"gamma": 0.0}, "gamma"),
        ({"gamma": 1.1}, "gamma"),
        ({"min_lr_ratio": -0.1}, "min_lr_ratio"),
        ({"name": "step", "milestones": [3, 1]}, "milestones"),
        ({"name": "step"}, "milestones"),
    ],
)
def test_wrong_arguments_are_named(options, argument):
    given = {"name": "cosine", "total_steps": 10, "steps_per_epoch": 5, **options}
    with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
        build_schedule(optimizer(), **given)
