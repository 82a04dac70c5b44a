"""The Trainer's arguments under Lightning's names: each is a working option, or rejected with a reason."""

from __future__ import annotations

import csv
import inspect
import json
import re
import typing
from dataclasses import fields
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from commands.conftest import FEW, Mfer, only_run
from config.test_compose import composed
from lightning.pytorch.callbacks import ModelSummary, Timer

from mfer_lightning.callbacks import History
from mfer_lightning.config.former_names import OPTIONS
from mfer_lightning.config.location import config_dir
from mfer_lightning.config.trainer_options import OURS, REFUSED, Trainer
from mfer_lightning.evaluation.schema import validate_result
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import FERModule
from mfer_lightning.sweeps.identity import run_name
from mfer_lightning.training.build_trainer import build_trainer

LIGHTNING = inspect.signature(L.Trainer.__init__).parameters
OPTION = {f.name: f.default for f in fields(Trainer)}

#: Our defaults that differ from those in the signature of Lightning's Trainer.
OWN_DEFAULTS = {
    "devices": 1,  # one process, unless more are asked for
    "precision": "auto",  # Lightning's default, None, means float32
    "max_epochs": "???",  # the dataset's or the recipe's
    "num_sanity_val_steps": 0,  # errors are found without sanity batches
    "enable_model_summary": False,  # shown at the start of a run
    "gradient_clip_val": 1.0,  # the paper's
    "deterministic": "warn",
}

#: A run of two epochs of two batches.
QUICK = (*FEW, "ema=none", "loss=ce")


def test_every_trainer_argument_is_an_option_or_rejected_with_a_reason() -> None:
    names = set(LIGHTNING) - {"self"}
    unknown = names - set(OPTION) - set(REFUSED)
    assert not unknown, f"new in Lightning: declare them in config/trainer_options.py, or refuse them there: {unknown}"
    assert not (set(OPTION) | set(REFUSED)) - names - set(OURS), "no longer in Lightning"
    assert not set(OPTION) & set(REFUSED)
    for name, reason in REFUSED.items():
        assert re.fullmatch(r"[^A-Z].*\.", reason), name


@pytest.mark.parametrize("name", [name for name in OPTION if name not in OURS])
def test_options_have_the_types_and_defaults_of_lightning(name: str) -> None:
    expected = OWN_DEFAULTS.get(name, LIGHTNING[name].default)
    assert OPTION[name] == expected or (expected is None and OPTION[name] is None)
    declared, theirs = typing.get_type_hints(Trainer)[name], LIGHTNING[name].annotation
    if declared is Any:  # values of several kinds, checked in training/checks/values.py
        assert len(set(typing.get_args(theirs)) - {type(None)}) > 1
        return
    kinds = set(typing.get_args(theirs)) or {theirs}
    plain = {t for t in typing.get_args(declared) or (declared,) if t is not type(None)}
    assert plain <= kinds or (plain == {str} and not kinds <= {int, float, bool, type(None)}), (plain, kinds)


@pytest.mark.parametrize(
    "name", [*list(REFUSED)[:3], *(pytest.param(n, marks=pytest.mark.slow) for n in list(REFUSED)[3:])]
)
def test_rejected_argument_is_answered_with_its_reason(
    name: str, mfer: Mfer, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    for prefix in ("", "+"):
        assert mfer(f"{prefix}trainer.{name}=1") == 2
        assert f"`trainer.{name}` is not an option here: {REFUSED[name]}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


GIVEN: dict[str, Any] = {
    "min_epochs": 1,
    "max_steps": 7,
    "min_steps": 2,
    "max_time": "00:01:00:00",
    "limit_train_batches": 3,
    "limit_val_batches": 0.5,
    "check_val_every_n_epoch": 2,
    "num_sanity_val_steps": 1,
    "log_every_n_steps": 5,
    "accumulate_grad_batches": 3,
    "gradient_clip_val": 0.5,
    "gradient_clip_algorithm": "value",
    "reload_dataloaders_every_n_epochs": 1,
}


def test_options_are_passed_to_the_trainer_unchanged(tmp_path: Path) -> None:
    config = composed(*(f"trainer.{name}={value}" for name, value in GIVEN.items()), "trainer.accelerator=cpu")
    trainer = build_trainer(config, tmp_path, "accuracy", History(tmp_path / "metrics.csv"))
    for name, value in GIVEN.items():
        if name not in ("max_time", "log_every_n_steps"):
            assert getattr(trainer, name) == value, name
    assert any(isinstance(c, Timer) for c in trainer.callbacks)  # type: ignore[attr-defined]
    assert trainer._logger_connector.trainer.log_every_n_steps == 5
    config = composed(
        "trainer.detect_anomaly=true",
        "trainer.deterministic=false",
        "trainer.benchmark=true",
        "trainer.val_check_interval=0.5",
        "trainer.enable_model_summary=true",
        "trainer.inference_mode=false",
        "trainer.accelerator=cpu",
    )
    before = torch.backends.cudnn.benchmark
    try:
        trainer = build_trainer(config, tmp_path, "accuracy", History(tmp_path / "metrics.csv"))
        assert torch.backends.cudnn.benchmark
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.backends.cudnn.benchmark = before
    assert trainer._detect_anomaly
    assert trainer.val_check_interval == 0.5
    assert any(isinstance(c, ModelSummary) for c in trainer.callbacks)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("strategy", "unused"),
    [("ddp", False), ("ddp_find_unused_parameters_true", True), ("ddp_find_unused_parameters_false", False)],
)
def test_lightning_ddp_names_are_accepted(strategy: str, unused: bool, tmp_path: Path) -> None:
    config = composed("trainer=ddp_cpu", f"trainer.strategy={strategy}")
    trainer = build_trainer(config, tmp_path, "accuracy", History(tmp_path / "metrics.csv"))
    assert trainer.strategy._ddp_kwargs["find_unused_parameters"] is unused


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("trainer.max_epochs=null", ("trainer.max_epochs=null", "trainer.max_steps=")),
        ("trainer.max_epochs=-1", ("trainer.max_epochs=-1", "trainer.max_steps=")),
        ("trainer.max_steps=0", ("trainer.max_steps=0", "at least 1")),
        ("trainer.max_time=3", ("trainer.max_time=3", "days:hours")),
        ("trainer.max_time=soon", ("trainer.max_time=soon", "days:hours")),
        ("trainer.max_time={hour:3}", ("trainer.max_time=", "{hours:12}")),
        ("trainer.val_check_interval=1.5", ("trainer.val_check_interval=1.5", "fraction")),
        ("trainer.val_check_interval=00:00:10:00", ("validation at time intervals", "0.5")),
        ("trainer.val_check_interval=1000", ("an epoch has 2 batches", "check_val_every_n_epoch=null")),
        ("trainer.check_val_every_n_epoch=null", ("val_check_interval=1000",)),
        ("trainer.check_val_every_n_epoch=3", ("the run has 2 epochs", "at most 2")),
        ("trainer.check_val_every_n_epoch=0", ("check_val_every_n_epoch=0", "at least 1")),
        ("trainer.benchmark=true", ("trainer.benchmark=true", "trainer.deterministic=false")),
        ("trainer.deterministic=maybe", ("trainer.deterministic=maybe", "warn")),
        ("trainer.fast_dev_run=-1", ("trainer.fast_dev_run=-1", "number of batches")),
        ("trainer.overfit_batches=0.5", ("trainer.overfit_batches=0.5", "limit_train_batches")),
        ("trainer.gradient_clip_algorithm=max", ("gradient_clip_algorithm=max", "norm, value")),
        ("trainer.sync_batchnorm=true", ("trainer.sync_batchnorm=true", "needs GPUs")),
        ("trainer.strategy=ddp_spawn", ("trainer.strategy=ddp_spawn", "Use ddp")),
        ("trainer.strategy=deepspeed_stage_2", ("trainer.strategy=deepspeed_stage_2", "Use ddp")),
        ("trainer.precision=transformer-engine-float16", ("weights are kept in float32",)),
        ("trainer.precision=16", ("16-mixed needs a GPU",)),
        ("trainer.accumulate=2 trainer.accumulate_grad_batches=3", ("former name", "accumulate_grad_batches=3")),
        ("trainer.accumulate=2 trainer.accumulate_grad_batches=1", ("former name", "accumulate_grad_batches=1")),
        ("trainer.clip=2.0 trainer.gradient_clip_val=1.0", ("former name", "gradient_clip_val=1.0")),
        ("trainer.accumulate=0", ("trainer.accumulate_grad_batches=0", "at least 1")),
        ("trainer.clip=much", ("trainer.clip=much", "a number")),
    ],
)
def test_invalid_options_raise_one_clear_error_and_leave_no_files(
    command: str, words: tuple[str, ...], mfer: Mfer, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert mfer(*QUICK, *command.split()) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message
    assert len([line for line in message.splitlines() if line.startswith("Error")]) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("older", OPTIONS)
def test_old_spelling_gives_the_same_run_name_and_is_stored_as_the_new_one(older: str) -> None:
    newer = OPTIONS[older]
    assert run_name(composed(f"{older}=2")) == run_name(composed(f"{newer}=2")) != run_name(composed())
    assert run_name(composed(f"{older}=2", f"{newer}=2")) == run_name(composed(f"{newer}=2"))


@pytest.mark.slow
def test_options_without_effect_on_results_do_not_change_the_run_name() -> None:
    same = ("num_sanity_val_steps=2", "log_every_n_steps=1", "detect_anomaly=true", "deterministic=true")
    assert {run_name(composed(f"trainer.{option}")) for option in same} == {run_name(composed())}
    other = ("max_steps=9", "min_epochs=1", "sync_batchnorm=true", "check_val_every_n_epoch=2", "max_time=00:00:01:00")
    assert len({run_name(composed(f"trainer.{option}")) for option in other} | {run_name(composed())}) == 6


def rows(run: Path) -> list[dict[str, str]]:
    """Rows of ``metrics.csv`` without columns that depend on the speed of the machine."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in r.items() if k not in ("seconds", "images_per_second")} for r in csv.DictReader(file)]


def result(run: Path) -> dict[str, Any]:
    return dict(validate_result(json.loads((run / "result.json").read_text())))


@pytest.mark.slow
def test_old_spellings_still_train_and_sweep(mfer: Mfer, tmp_path: Path) -> None:
    common = (*QUICK, "trainer.max_epochs=1", "paths.runs=sweeps", "name=s", "report=false")
    assert mfer("-m", *common, "trainer.accumulate=1,2", "trainer.clip=null") == 0
    configs = [
        yaml.safe_load(f.read_text())["trainer"] for f in sorted((tmp_path / "sweeps" / "s").glob("*/config.yaml"))
    ]
    assert sorted(c["accumulate_grad_batches"] for c in configs) == [1, 2]
    assert all(c["gradient_clip_val"] is None and not {"clip", "accumulate"} & set(c) for c in configs)


@pytest.mark.slow
def test_search_rejects_both_spellings_of_a_fixed_option(mfer: Mfer, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    both = ("trainer.accumulate=2", "trainer.accumulate_grad_batches=1")
    search = ("-m", "sweep=optuna", "hydra.sweeper.n_trials=1", "optimizer.lr=interval(0.001,0.002)")
    assert mfer(*search, *both, *QUICK, "name=s", "report=false") == 1
    (record,) = (tmp_path / "runs" / "s" / "jobs").glob("*.json")
    assert "former name" in json.loads(record.read_text())["error"]


@pytest.mark.slow
def test_configuration_of_an_earlier_version_works_as_an_experiment_file(mfer: Mfer, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "old.yaml").write_text("# @package _global_\ntrainer: {accumulate: 2, clip: null, deterministic: true}\n")
    assert mfer("--config-dir", str(tmp_path / "mine"), *QUICK, "experiment=old", "trainer.max_epochs=1") == 0
    trainer = yaml.safe_load((only_run(tmp_path / "runs") / "config.yaml").read_text())["trainer"]
    assert (trainer["accumulate_grad_batches"], trainer["gradient_clip_val"]) == (2, None)


def train_whole_and_cut(mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *options: str, at: int) -> Path:
    """Compare an uninterrupted run with one interrupted before an epoch and resumed; return the first."""
    begin = FERModule.on_train_epoch_start

    def interrupt(self: FERModule) -> None:
        if self.current_epoch == at:
            raise KeyboardInterrupt
        begin(self)

    assert mfer(*options, "name=whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", interrupt)
        assert mfer(*options, "name=cut") == 130
    assert mfer(*options, "name=cut") == 0
    whole, cut = (only_run(tmp_path / "runs" / name) for name in ("whole", "cut"))
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (read_checkpoint(run / "checkpoints" / name) for run in (cut, whole))
        assert ours["global_step"] == theirs["global_step"]
        assert all(torch.equal(ours["state_dict"][k], theirs["state_dict"][k]) for k in theirs["state_dict"]), name
    assert rows(cut) == rows(whole)
    assert result(cut)["metrics"] == result(whole)["metrics"]
    return whole


@pytest.mark.slow
def test_training_by_steps_ends_with_validation_and_resumes_exactly(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Five steps with two per epoch: three epochs, the last with one step."""
    length = ("trainer.max_epochs=null", "trainer.max_steps=5", "scheduler=cosine")
    run = train_whole_and_cut(mfer, tmp_path, monkeypatch, *QUICK, *length, at=2)
    found = rows(run)
    assert [row["step"] for row in found] == ["2", "4", "5"]
    assert all(row["val/accuracy"] for row in found)
    rates = [float(row["lr"]) for row in found]
    assert rates[0] > rates[1] > rates[2] == pytest.approx(0.01 * 1e-3), "the schedule ends with the last step"
    assert result(run)["cost"]["epochs"] == 3
    said = capsys.readouterr().out
    assert "5 steps, batch 16" in said
    assert "epoch   3/3" in said

    (run / "result.json").unlink()  # killed after its last step
    assert mfer(*QUICK, *length, "name=whole") == 0
    assert rows(run) == found, "no steps were left to train"


@pytest.mark.slow
def test_unreachable_max_steps_is_noted(mfer: Mfer, capsys: pytest.CaptureFixture) -> None:
    assert mfer(*QUICK, "trainer.max_epochs=1", "trainer.max_steps=100") == 0
    assert "trainer.max_steps=100 is not reached" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_validation_every_second_epoch_selects_and_stops_among_those_epochs(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("trainer.check_val_every_n_epoch=2", "trainer.max_epochs=9", "optimizer.lr=1e-12", "resume=auto")
    stop = ("early_stopping=default", "early_stopping.patience=1")
    run = train_whole_and_cut(mfer, tmp_path, monkeypatch, *QUICK, *options, *stop, at=3)
    found = rows(run)
    assert len(found) == 4, "training stops at the second validation, the first without improvement"
    assert [bool(row["val/accuracy"]) for row in found] == [False, True, False, True]
    assert result(run)["selection"]["epoch"] == 1


@pytest.mark.slow
def test_validation_within_an_epoch_resumes_exactly(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    across = ("trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=3", "trainer.max_epochs=4")
    run = train_whole_and_cut(mfer, tmp_path, monkeypatch, *QUICK, *across, at=2)
    assert [bool(row["val/accuracy"]) for row in rows(run)] == [False, True, True, False], "after batches 3 and 6"


@pytest.mark.slow
def test_best_of_several_validations_per_epoch_is_selected(mfer: Mfer, tmp_path: Path) -> None:
    seen: list[float] = []
    end = FERModule.on_validation_epoch_end

    def look(self: FERModule) -> None:
        end(self)
        seen.append(float(self.trainer.callback_metrics["val/accuracy"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FERModule, "on_validation_epoch_end", look)
        assert mfer(*QUICK, "trainer.val_check_interval=0.5", "optimizer.lr=1e-2") == 0
    assert len(seen) == 4
    assert result(only_run(tmp_path / "runs"))["selection"]["value"] == pytest.approx(max(seen))


@pytest.mark.slow
def test_min_epochs_delays_early_stopping_also_after_resuming(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = ("early_stopping=default", "early_stopping.patience=1", "optimizer.lr=1e-12", "trainer.max_epochs=9")
    run = train_whole_and_cut(mfer, tmp_path, monkeypatch, *QUICK, *stop, "trainer.min_epochs=4", at=3)
    assert len(rows(run)) == 4


@pytest.mark.slow
def test_max_time_ends_the_run_with_validation_and_a_message(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning.pytorch.callbacks.Timer.time_elapsed", lambda timer, *_: 61.0 * timer.batches)
    monkeypatch.setattr("lightning.pytorch.callbacks.Timer.batches", 0, raising=False)
    check = Timer.on_train_batch_end

    def count(self: Timer, *arguments: Any) -> None:
        self.batches += 1  # type: ignore[attr-defined]
        check(self, *arguments)

    monkeypatch.setattr(Timer, "on_train_batch_end", count)
    options = (*QUICK, "trainer.max_epochs=9", "trainer.max_time=00:00:03:00")
    assert mfer(*options) == 0
    run = only_run(tmp_path / "runs")
    assert [row["step"] for row in rows(run)] == ["2", "3"]
    assert all(row["val/accuracy"] for row in rows(run))
    assert any("time limit ended the training in epoch 2, after 3 steps" in note for note in result(run)["notes"])


@pytest.mark.slow
def test_neutral_options_do_not_change_the_weights(mfer: Mfer, tmp_path: Path) -> None:
    neutral = (
        "num_sanity_val_steps=2",
        "reload_dataloaders_every_n_epochs=1",
        "detect_anomaly=true",
        "inference_mode=false",
        "log_every_n_steps=1",
        "enable_autolog_hparams=false",
        "deterministic=true",
        "precision=32",
    )
    assert mfer(*QUICK, "name=plain", "trainer.precision=32-true") == 0
    assert mfer(*QUICK, "name=other", *(f"trainer.{option}" for option in neutral)) == 0
    plain, other = (only_run(tmp_path / "runs" / name) for name in ("plain", "other"))
    assert rows(plain) == rows(other)
    assert result(plain)["metrics"] == result(other)["metrics"]


@pytest.mark.slow
def test_clipping_by_value_and_accumulation_use_lightning(mfer: Mfer, tmp_path: Path) -> None:
    options = ("trainer.accumulate_grad_batches=2", "trainer.gradient_clip_algorithm=value")
    assert mfer(*QUICK, *options, "trainer.gradient_clip_val=1e-9", "optimizer=sgd") == 0
    run = only_run(tmp_path / "runs")
    assert [row["step"] for row in rows(run)] == ["1", "2"]


def test_fast_dev_run_with_n_batches_leaves_no_files(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert mfer(*QUICK, "trainer.fast_dev_run=2") == 0
    assert "Training and validation batches were processed. Nothing was kept." in capsys.readouterr().out
    assert not list((tmp_path / "runs").glob("*"))


def test_config_file_lists_every_option_with_its_default() -> None:
    written = yaml.safe_load((config_dir() / "trainer" / "auto.yaml").read_text(encoding="utf-8"))
    assert set(written) == set(OPTION) - {"accumulate", "clip"}
    assert {k: v for k, v in written.items() if k != "max_epochs"} == {
        k: v for k, v in OPTION.items() if k in written and k != "max_epochs"
    }


def test_documentation_lists_every_option_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `trainer\.(\w+)` \| `?([^`|]*?)`? \|", text, re.MULTILINE))
    for name, default in OPTION.items():
        if name not in ("accumulate", "clip"):
            said = {"???": "the dataset's", "None": "null", "True": "true", "False": "false"}
            assert listed[name] == said.get(str(default), str(default)), name
    assert all(f"`{name}`" in text for name in REFUSED)
