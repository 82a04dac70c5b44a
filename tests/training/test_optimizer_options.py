"""Optimisers and schedules configured on the command line: composition, checks and a trial build."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands.conftest import FEW, Mfer
from config.test_compose import composed

from mfer_lightning.config.location import choices
from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import FERModule
from mfer_lightning.sweeps.identity import run_name
from mfer_lightning.training.checks import check_config
from mfer_lightning.training.checks.combinations import idle_options
from mfer_lightning.training.checks.trial_build import build_on_trial


def checked(*overrides: str) -> dict:
    config = composed(*overrides)
    check_config(config)
    build_on_trial(config)
    return config


@pytest.mark.parametrize("name", choices("optimizer"))
@pytest.mark.parametrize("dataset", ["facs", pytest.param("rafdb", marks=pytest.mark.slow)])
def test_every_config_file_builds_an_optimizer_without_idle_options(name: str, dataset: str) -> None:
    config = checked(f"dataset={dataset}", f"optimizer={name}", "trainer.max_epochs=20")
    assert [note for note in idle_options(config) if note.startswith("optimizer")] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", choices("scheduler"))
def test_every_config_file_builds_a_schedule_without_idle_options(name: str) -> None:
    config = checked("dataset=facs", f"scheduler={name}", "trainer.max_epochs=20")
    assert [note for note in idle_options(config) if note.startswith("scheduler")] == []


@pytest.mark.slow
def test_changing_the_optimizer_name_keeps_only_lr_and_weight_decay() -> None:
    for dataset in ("facs", "rafdb"):
        node = checked(f"dataset={dataset}", "optimizer.name=adan")["optimizer"]
        assert (node["betas"], node["weight_decay"]) == (None, 0.05)
    assert composed("optimizer.name=lion", "optimizer.betas=[0.8,0.9]")["optimizer"]["betas"] == [0.8, 0.9]
    assert composed("optimizer=lion")["optimizer"]["lr"] == 1e-4  # a tenth of the rate that facs sets for the others
    assert composed()["optimizer"]["betas"] == [0.9, 0.99]
    assert composed("dataset=rafdb")["optimizer"]["betas"] == [0.9, 0.999]


def test_optimizer_specific_arguments_need_no_plus_and_change_the_run_name() -> None:
    given = checked("optimizer.name=adafactor", "optimizer.clip_threshold=0.9", "scheduler.warmup_steps=500")
    assert given["optimizer"]["clip_threshold"] == 0.9
    other = composed("optimizer.name=adafactor", "optimizer.clip_threshold=0.8", "scheduler.warmup_steps=500")
    assert run_name(given) != run_name(other)


@pytest.mark.slow
def test_sam_wraps_any_optimizer() -> None:
    for name in ("lion", "muon", "adafactor", "ASGD"):
        checked(f"optimizer.name={name}", "optimizer.sam_rho=0.05")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("optimizer.wieght_decay=0.1",), ("optimizer", "no option `wieght_decay`", "weight_decay")),
        (("optimizer.name=lion", "optimizer.clip_threshold=1"), ("lion has no option `clip_threshold`", "betas")),
        (("optimizer.name=adafactor", "optimizer.clip_threshold=x"), ("optimizer.clip_threshold=x", "a number")),
        (("optimizer=adan", "optimizer.betas=[0.9,0.99]"), ("betas", "three numbers")),
        (("optimizer.name=LBFGS",), ("optimizer.name=LBFGS", "many times per step")),
        (("optimizer.name=adahessian", "optimizer.sam_rho=0.05"), ("optimizer.name=adahessian", "second derivatives")),
        (("optimizer.name=Muon",), ("optimizer.name=Muon", "Use muon")),
        (("scheduler.gama=0.9",), ("scheduler", "no option `gama`", "gamma")),
        (("scheduler=wsd", "scheduler.decay_share=2"), ("scheduler.decay_share=2", "at most 1")),
        (("scheduler=wsd", "scheduler.decay_fn=cubic"), ("scheduler.decay_fn=cubic", "1-sqrt")),
        (("scheduler=polynomial", "scheduler.power=0"), ("scheduler.power=0", "more than 0")),
        (("scheduler=plateau", "scheduler.factor=1.5"), ("scheduler.factor=1.5", "at most 1")),
        (("scheduler=plateau", "scheduler.patience=-1"), ("scheduler.patience=-1", ">= 0")),
        (
            ("scheduler=plateau", "trainer.check_val_every_n_epoch=2"),
            ("scheduler=plateau", "check_val_every_n_epoch=1"),
        ),
        (("scheduler.warmup_steps=-5",), ("scheduler.warmup_steps=-5", ">= 0")),
        (("scheduler=wsd", "scheduler.power=high"), ("scheduler.power=high", "more than 0")),
    ],
)
def test_invalid_options_are_reported_before_data_are_read(overrides: tuple[str, ...], words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as refused:
        checked(*overrides)
    for word in words:
        assert word in str(refused.value)


def test_options_without_effect_are_reported() -> None:
    config = composed("optimizer=lion", "optimizer.eps=1e-8", "scheduler=wsd", "scheduler.power=2")
    assert {
        "optimizer.eps=1e-08 has no effect with lion",
        "scheduler.power=2 has no effect with scheduler=wsd",
    } <= set(idle_options(config))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("optimizer=muon", "scheduler=plateau", "scheduler.patience=0", "scheduler.warmup_steps=3"),
        ("optimizer=adan", "scheduler=wsd", "scheduler.decay_share=0.5", "optimizer.sam_rho=0.05"),
        ("optimizer=lion", "scheduler=onecycle"),
    ],
)
def test_interrupted_run_resumes_to_the_same_weights(
    options: tuple[str, ...], mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (*FEW, *options, "trainer.max_epochs=4", "trainer.precision=bf16-mixed")
    assert mfer(*command, "name=whole") == 0
    begin = FERModule.on_train_epoch_start

    def interrupt(self: FERModule) -> None:
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        begin(self)

    with monkeypatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", interrupt)
        assert mfer(*command, "name=cut") == 130
    assert mfer(*command, "name=cut") == 0
    whole, cut = (read_checkpoint(next((tmp_path / "runs" / name).rglob("last.ckpt"))) for name in ("whole", "cut"))
    assert all(torch.equal(cut["state_dict"][name], value) for name, value in whole["state_dict"].items())
    assert cut["lr_schedulers"] == whole["lr_schedulers"]
