"""Schedules compared with those of torch and timm, and with closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, MultiStepLR, OneCycleLR, PolynomialLR

from mfer_lightning.optim import build_plateau, build_schedule, plateau_for, schedule_for

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


def test_exponential_matches_torch_per_epoch():
    assert_equal(rates("exponential", gamma=0.95), by_epoch(lambda o: ExponentialLR(o, 0.95)))


def test_step_matches_torch_multi_step_per_epoch():
    expected = by_epoch(lambda o: MultiStepLR(o, [2, 5], 0.1))
    assert_equal(rates("step", gamma=0.1, milestones=[2, 5]), expected)


def test_cosine_matches_torch_per_step():
    target = optimizer()
    schedule = CosineAnnealingLR(target, T_max=EPOCHS * STEPS)
    expected = []
    for _ in range(EPOCHS * STEPS):
        expected.append([g["lr"] for g in target.param_groups])
        target.step()
        schedule.step()
    assert_equal(rates("cosine"), expected)


def by_step(make):
    """Rates of torch's scheduler, stepped after every optimizer step."""
    target = optimizer()
    schedule = make(target)
    found = []
    for step in range(EPOCHS * STEPS):
        found.append([g["lr"] for g in target.param_groups])
        target.step()
        if step < EPOCHS * STEPS - 1:
            schedule.step()
    return found


def test_onecycle_matches_torch():
    expected = by_step(lambda o: OneCycleLR(o, [0.1, 1.0], total_steps=EPOCHS * STEPS, cycle_momentum=False))
    for a, b in zip(rates("onecycle"), expected, strict=True):
        assert a == pytest.approx(b, rel=1e-6)


@pytest.mark.parametrize("power", [1.0, 2.5])
def test_polynomial_matches_torch(power):
    expected = by_step(lambda o: PolynomialLR(o, EPOCHS * STEPS, power=power))
    assert_equal(rates("polynomial", power=power), expected)


@pytest.mark.parametrize("decay_fn", ["1-sqrt", "linear"])
def test_wsd_matches_timm(decay_fn):
    reference = pytest.importorskip("timm.scheduler.wsd_lr", reason="timm has had this schedule since 1.0.31")
    total, warmup = EPOCHS * STEPS, 5
    theirs = reference.WSDLRScheduler(
        optimizer(), total - warmup, decay_t=12, decay_fn=decay_fn, warmup_t=warmup, t_in_epochs=False
    )
    found = rates("wsd", warmup_epochs=1, decay_share=0.4, decay_fn=decay_fn)
    for step in range(warmup, total):
        theirs.step_update(step)
        assert found[step] == pytest.approx([g["lr"] for g in theirs.optimizer.param_groups])
    assert found[:warmup] == rates("cosine", warmup_epochs=1)[:warmup]


@pytest.mark.parametrize("name", ["onecycle", "polynomial", "wsd"])
@pytest.mark.parametrize("total", [1, 2, 3])
def test_short_runs_have_finite_learning_rates(name, total):
    target = optimizer()
    schedule = build_schedule(target, name, total_steps=total, steps_per_epoch=1)
    for _ in range(total + 2):
        assert all(0 <= rate <= top * (1 + 1e-9) for rate, top in zip(schedule.get_last_lr(), (0.1, 1.0), strict=True))
        target.step()
        schedule.step()


def test_warmup_steps_override_warmup_epochs():
    assert rates("wsd", warmup_steps=7, warmup_epochs=1) == rates("wsd", warmup_epochs=1.4)


def test_infinite_run_accepts_only_infinite_schedules():
    for name in ("constant", "exponential", "plateau"):
        build_schedule(optimizer(), name, total_steps=None, steps_per_epoch=STEPS, warmup_steps=500)
    with pytest.raises(ValueError, match="`total_steps` to be known for the schedule 'cosine'"):
        build_schedule(optimizer(), "cosine", total_steps=None, steps_per_epoch=STEPS)


@pytest.mark.parametrize(
    "option", [{"warmup_steps": 30}, {"warmup_epochs": 6}, {"warmup_steps": 99, "warmup_epochs": 1}]
)
def test_warmup_is_shortened_in_short_runs(option):
    target = optimizer()
    schedule = schedule_for(target, {"name": "constant", **option}, EPOCHS * STEPS, STEPS)
    found = []
    for _ in range(7):
        found.append(schedule.get_last_lr()[1])
        target.step()
        schedule.step()
    assert found == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0, 1.0])


def plateau(options, metrics, mode="max", resume_after=None):
    """Rates of both groups at each step of a run whose epochs end with these metrics."""
    given = {"name": "plateau", "patience": 1, "factor": 0.5, **options}
    target = optimizer()
    pair = plateau_for(target, given, mode), schedule_for(target, given, len(metrics) * STEPS, STEPS)
    found = []
    for epoch, metric in enumerate(metrics):
        if epoch == resume_after:
            states = [target.state_dict(), *(s.state_dict() for s in pair)]
            target = optimizer()
            pair = plateau_for(target, given, mode), schedule_for(target, given, len(metrics) * STEPS, STEPS)
            for part, state in zip((target, *pair), states, strict=True):
                part.load_state_dict(state)
        for _ in range(STEPS):
            found.append([g["lr"] for g in target.param_groups])
            target.step()
            pair[1].step()
        pair[0].step(metric)
    return found


def test_plateau_reduces_after_its_patience_and_keeps_group_ratios():
    found = plateau({}, [0.5, 0.6, 0.6, 0.6, 0.7, 0.7])
    assert [row[1] for row in found[::STEPS]] == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.5, 0.5])
    assert all(row[0] == pytest.approx(0.1 * row[1]) for row in found)


def test_plateau_in_min_mode_expects_a_decrease():
    assert plateau({}, [0.5, 0.4, 0.3, 0.2], "min")[-1] == [0.1, 1.0]


def test_plateau_has_a_minimum():
    assert plateau({"min_lr_ratio": 0.3, "patience": 0}, [0.5] * 5)[-1] == pytest.approx([0.03, 0.3])


@pytest.mark.parametrize("option", [{"warmup_epochs": 1.4}, {"warmup_steps": 7}])
def test_plateau_works_after_warmup(option):
    found = [row[1] for row in plateau({**option, "patience": 0}, [0.5, 0.6, 0.6, 0.7])]
    assert found[:8] == pytest.approx([(i + 1) / 7 for i in range(7)] + [1.0])
    assert found[15:] == pytest.approx([0.5] * 5)


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_resumed_plateau_matches_an_uninterrupted_one(epoch):
    metrics = [0.5, 0.6, 0.6, 0.6, 0.6, 0.7]
    whole = plateau({"warmup_epochs": 1.4}, metrics)
    assert plateau({"warmup_epochs": 1.4}, metrics, resume_after=epoch) == whole


def test_other_schedules_need_no_metric():
    assert plateau_for(optimizer(), {"name": "cosine"}, "max") is None


def test_constant_schedule_is_constant():
    assert_equal(rates("constant"), [[0.1, 1.0]] * (EPOCHS * STEPS))


@pytest.mark.parametrize("name", ["constant", "cosine", "exponential", "polynomial", "step", "wsd"])
def test_warmup_is_linear_up_to_the_peak(name):
    options = {"milestones": [5]} if name == "step" else {}
    found = [row[1] for row in rates(name, warmup_epochs=1.4, **options)]
    assert found[:7] == pytest.approx([(i + 1) / 7 for i in range(7)])
    assert found[7] == pytest.approx(1.0)


def test_exponential_counts_epochs_from_the_end_of_warmup():
    found = [row[1] for row in rates("exponential", warmup_epochs=1, gamma=0.5)]
    assert found[STEPS : STEPS + 11] == pytest.approx([1.0] * 5 + [0.5] * 5 + [0.25])


def test_cosine_with_warmup_and_minimum_matches_its_closed_form():
    found = [row[0] for row in rates("cosine", warmup_epochs=2, min_lr_ratio=0.1)]
    for step in range(10, 30):
        shape = 0.5 * (1 + math.cos(math.pi * (step - 10) / 20))
        assert found[step] == pytest.approx(0.1 * (0.1 + 0.9 * shape))


@pytest.mark.parametrize(("name", "options"), [("exponential", {}), ("step", {"milestones": [1, 2, 3]})])
def test_minimum_factor_is_respected(name, options):
    found = [row[1] for row in rates(name, gamma=0.1, min_lr_ratio=0.05, **options)]
    assert min(found) == pytest.approx(0.05)


def test_learning_rate_stays_at_its_final_value_after_the_run():
    target = optimizer()
    schedule = build_schedule(target, "cosine", total_steps=4, steps_per_epoch=2, min_lr_ratio=0.25)
    for _ in range(9):
        target.step()
        schedule.step()
    assert target.param_groups[1]["lr"] == pytest.approx(0.25)


def test_resumed_run_uses_its_own_settings():
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


def test_state_dict_is_plain(tmp_path):
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
        ({"warmup_steps": 10}, "warmup_steps"),
        ({"warmup_steps": 1.5}, "warmup_steps"),
        ({"name": "polynomial", "power": 0.0}, "power"),
        ({"name": "wsd", "decay_share": 0.0}, "decay_share"),
        ({"name": "wsd", "decay_fn": "sqrt"}, "decay_fn"),
        ({"name": "onecycle", "pct_start": 1.0}, "pct_start"),
        ({"name": "onecycle", "div_factor": 0.5}, "div_factor"),
    ],
)
def test_invalid_arguments_raise_value_error(options, argument):
    given = {"name": "cosine", "total_steps": 10, "steps_per_epoch": 5, **options}
    with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
        build_schedule(optimizer(), **given)


@pytest.mark.parametrize(
    ("options", "argument"),
    [({"factor": 0.0}, "factor"), ({"patience": -1}, "patience"), ({"cooldown": 0.5}, "cooldown")],
)
def test_invalid_plateau_arguments_raise_value_error(options, argument):
    with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
        build_plateau(optimizer(), **options)


def test_unknown_option_suggests_the_closest_match():
    with pytest.raises(ValueError, match=r"no option `powr`: did you mean 'power'"):
        schedule_for(optimizer(), {"name": "polynomial", "powr": 2}, 10, 5)
