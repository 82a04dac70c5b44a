"""Searches: the space, several processes on one study, pruned trials."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mfer_lightning.callbacks import PruneTrial
from mfer_lightning.errors import TrialPrunedError, UserError
from mfer_lightning.sweeps.optuna_sweeper import Search
from mfer_lightning.sweeps.search import OWNER, take_up_study
from mfer_lightning.sweeps.search_space import grid_of, split_overrides, suggest, written
from mfer_lightning.sweeps.study import Study, open_study
from mfer_lightning.sweeps.trial import TRIAL, described_trial, reporter

optuna = pytest.importorskip("optuna", minversion="4")

MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1, "n_warmup_steps": 1}


def test_search_space_comes_from_command_line_and_configuration() -> None:
    params = {"optimizer.lr": "tag(log,interval(1.0e-4,5.0e-3))", "seed": "interval(0,9)", "a": "1"}
    given = ["loss=choice(ce,dsf)", "backbone.options={depths:[1,1]}", "seed=3", "b=range(0,6,2)"]
    space, fixed = split_overrides(params, given)
    assert fixed == ["a=1", "backbone.options={depths:[1,1]}", "seed=3"]
    distributions = optuna.distributions
    assert space == {
        "optimizer.lr": distributions.FloatDistribution(1e-4, 5e-3, log=True),
        "loss": distributions.CategoricalDistribution(["ce", "dsf"]),
        "b": distributions.IntDistribution(0, 6, step=2),
    }
    with pytest.raises(UserError, match=r"optimizer\.lr: sampler=grid needs choice"):
        grid_of(space)
    assert grid_of({"b": space["b"], "loss": space["loss"]}) == {"b": [0, 2, 4, 6], "loss": ["ce", "dsf"]}
    assert [written(v) for v in (None, True, 0.5, "ce")] == ["null", "True", "0.5", "ce"]


def storage(folder: Path) -> str:
    return f"sqlite:///{folder}/study.db"


def test_running_trial_of_another_process_is_kept_and_an_abandoned_one_resumed(tmp_path: Path) -> None:
    ours = Study(storage(tmp_path), "s", "maximize", wanted=5, seed=None)
    study = open_study(ours)
    space = {"lr": optuna.distributions.FloatDistribution(0.0, 1.0)}
    owners = (f"{platform.node()} {os.getppid()}", f"{platform.node()} {2**22 + 1}", "elsewhere 1")
    trials = [study.ask(space) for _ in owners]
    for trial, owner in zip(trials, owners, strict=True):
        trial.set_user_attr(OWNER, owner)
    progress = take_up_study(ours)
    assert (progress.running, progress.cut, progress.failed) == (2, 1, 1)
    assert open_study(ours).ask(space).params == trials[1].params


def test_study_with_other_settings_is_not_resumed(tmp_path: Path) -> None:
    study = open_study(Study(storage(tmp_path), "s", "maximize", wanted=5, seed=None))
    with pytest.raises(UserError, match=r"direction=minimize: the study s in .* was started with maximize"):
        open_study(Study(storage(tmp_path), "s", "minimize", wanted=5, seed=None))
    assert suggest(study.ask(), "loss", optuna.distributions.CategoricalDistribution(["ce", "dsf"])) in ("ce", "dsf")
    with pytest.raises(UserError, match="loss: earlier trials of the study had other choices"):
        suggest(study.ask(), "loss", optuna.distributions.CategoricalDistribution(["ce", "dsf", "lgm"]))


class Here:
    """A launcher whose jobs are arithmetic."""

    def __init__(self, folder: Path) -> None:
        self.batches: list[list[int]] = []

    def launch(self, overrides: list[list[str]], initial_job_idx: int) -> list[Any]:
        self.batches.append(list(range(initial_job_idx, initial_job_idx + len(overrides))))
        values = [dict(o.split("=") for o in job) for job in overrides]
        return [SimpleNamespace(return_value=None if v["x"] == "3" else float(v["x"])) for v in values]


class Beside(Here):
    """A launcher that reports each job as it ends; the most recently started job ends first."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.running: dict[int, Any] = {}
        self.most = 0

    def start(self, overrides: list[str], number: int) -> None:
        (self.running[number],) = self.launch([overrides], number)
        self.most = max(self.most, len(self.running))

    def ended(self) -> dict[int, Any]:
        return dict([self.running.popitem()])


@pytest.mark.parametrize("kind", [Here, Beside])
def test_study_stops_at_the_requested_number_of_results_and_can_be_resumed(kind: type[Here], tmp_path: Path) -> None:
    def start(wanted: int, **more: Any) -> tuple[Here, Any]:
        sampler = {"_target_": "optuna.samplers.RandomSampler", "seed": 0, **more}
        search = Search(sampler, None, "maximize", storage(tmp_path), "s", wanted, 2, 1.0, {"x": "choice(1,2,3)"})
        search._folder, search._launcher, search._options = tmp_path, kind(tmp_path), {}
        search.sweep(["y=0"])
        return search._launcher, open_study(search._study)

    launcher, study = start(6)
    states = [t.state.name for t in study.trials]
    assert len(states) == 6
    assert set(states) == {"COMPLETE", "FAIL"}
    assert all((t.state.name == "FAIL") == (t.params["x"] == 3) for t in study.trials)
    assert launcher.most == 2 if isinstance(launcher, Beside) else all(len(b) == 2 for b in launcher.batches)
    results = states.count("COMPLETE")
    _, study = start(results + 1)
    assert len(study.trials) == 7


def test_every_grid_point_is_run_once(tmp_path: Path) -> None:
    sampler = {"_target_": "optuna.samplers.GridSampler", "seed": 0}
    space = {"x": "choice(1,2)", "z": "choice(4,5)"}
    search = Search(sampler, None, "maximize", storage(tmp_path), "s", 20, 1, 1.0, space)
    search._folder, search._launcher, search._options = tmp_path, Here(tmp_path), {}
    search.sweep([])
    assert sorted((t.params["x"], t.params["z"]) for t in open_study(search._study).trials) == [
        *((1, 4), (1, 5), (2, 4), (2, 5))
    ]


def test_trial_worse_than_the_median_is_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Study(storage(tmp_path), "s", "maximize", 3, None, MEDIAN)
    study = open_study(ours)
    good, bad = study.ask(), None
    for epoch, value in enumerate((0.5, 0.6, 0.7)):
        good.report(value, epoch)
    study.tell(good, 0.7)
    bad = study.ask()
    monkeypatch.setenv(TRIAL, described_trial(ours, bad.number) or "")
    report = reporter()
    assert report is not None
    assert [report(epoch, 0.1) for epoch in range(3)] == [False, True, True]

    trainer = SimpleNamespace(
        sanity_checking=False,
        callback_metrics={"val/accuracy": 0.1},
        current_epoch=1,
        max_epochs=9,
        is_global_zero=True,
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )
    callback = PruneTrial("val/accuracy", report)
    callback.on_train_epoch_end(trainer, None)  # no validation in this epoch
    callback.on_validation_end(trainer, None)
    with pytest.raises(TrialPrunedError, match=r"after epoch 2 \(val/accuracy 0\.1000\)"):
        callback.on_train_epoch_end(trainer, None)


def test_unreachable_study_prunes_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Study(f"sqlite:///{tmp_path}/none/study.db", "s", "maximize", 3, None, MEDIAN)
    monkeypatch.setenv(TRIAL, described_trial(ours, 0) or "")
    report = reporter()
    assert report is not None
    assert report(0, 0.1) is False
    monkeypatch.delenv(TRIAL)
    assert reporter() is None
    assert described_trial(None, 0) is None
