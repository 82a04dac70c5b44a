"""`train` and `sweep` give the same results as the command line, and do not change the caller's process."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from commands.conftest import FEW
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import mfer_lightning
from mfer_lightning import Run, sweep, train
from mfer_lightning.errors import UserError

ONE = (*FEW, "trainer.max_epochs=1")


def test_train_returns_the_run_of_the_command_line(here: Path, few_run: Path, capsys: pytest.CaptureFixture) -> None:
    run = train(FEW)
    assert (run.folder.parent, run.name) == (here / "runs", few_run.name)
    assert run.metrics == Run(few_run).metrics
    assert run.result["intervals"] == Run(few_run).result["intervals"]
    assert len(run.history) == 2
    assert run.config["seed"] == 0
    assert run.checkpoint == run.folder / "checkpoints" / "best.ckpt"
    assert len(run.predictions()) == 9
    assert len(run.predictions("val")) == 16
    faces = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    assert run.model(faces)["logits"].shape == (2, len(run.model.class_names))
    assert "9 faces of facs@native, test" in repr(run)
    assert "epoch   2/2" in capsys.readouterr().out, "the same words as on the command line"


@pytest.mark.slow
def test_state_of_the_calling_process_is_restored(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "config.yaml").write_text("answer: 42\n")
    torch.use_deterministic_algorithms(False)  # training in another test may have enabled it
    argv, environment, filters = list(sys.argv), dict(os.environ), list(warnings.filters)
    with initialize_config_dir(str(here / "mine"), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        train(ONE)
        runs = sweep([*ONE, "seed=0,1", "report=false"])
        assert GlobalHydra.instance().hydra is mine
        assert compose("config").answer == 42
    assert len(runs) == 2
    assert not GlobalHydra.instance().is_initialized()
    assert (sys.argv, dict(os.environ), Path.cwd()) == (argv, environment, here)
    assert warnings.filters == filters
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["loss=dff"], "Did you mean 'dsf'"),
        (["loss=ce,dsf"], r"several values need a sweep.*in Python: sweep"),
        (["-m", "loss=ce,dsf"], r"-m is not supported in Python\. Use sweep\(\[...\]\)"),
        (["optimizer.lr=-1"], "optimizer.lr=-1.0"),
        (["sweep=optuna"], r"Use sweep\(\[...\]\)"),
        ([*FEW, "debug=fast_dev_run"], "keeps nothing"),
    ],
)
def test_error_is_raised_and_the_process_continues(overrides: list[str], words: str, here: Path) -> None:
    with pytest.raises(UserError, match=words):
        train(overrides)
    assert not list((here / "runs").glob("*"))


def test_sweep_rejects_the_mode_of_a_single_run() -> None:
    with pytest.raises(UserError, match=r"hydra\.mode=RUN starts a single run\. Use train\(\[\.\.\.\]\)"):
        sweep(["hydra.mode=RUN", "seed=0,1"])


@pytest.mark.parametrize("overrides", ["dataset=facs", None, 5])
def test_overrides_must_be_a_list_of_strings(overrides: Any) -> None:
    with pytest.raises(ValueError, match="Expected argument `overrides` to be a list of strings"):
        train(overrides)


@pytest.mark.slow
def test_sweep_returns_its_runs_and_names_its_failures(here: Path) -> None:
    found = sweep([*ONE, "loss=ce", "optimizer.lr=0.001,-1", "seed=0,1", "name=study"])
    assert found.folder == here / "runs" / "study"
    assert [run.config["seed"] for run in found] == [0, 1]
    assert [row["status"] for row in found.rows] == ["done", "done", "failed", "failed"]
    assert found.rows[0]["accuracy"] == found[0].metrics["accuracy"]
    assert list(found.failures) == ["optimizer.lr=-1 seed=0", "optimizer.lr=-1 seed=1"]
    assert all("Expected argument `lr`" in reason for reason in found.failures.values())
    assert "2 runs, 2 failed" in repr(found)
    assert (found.folder / "report" / "report.html").is_file()
    again = sweep([*ONE, "loss=ce", "optimizer.lr=0.001", "seed=0,1", "name=study", "report=false"])
    assert [row["status"] for row in again.rows] == ["skipped", "skipped"]
    assert [run.folder for run in again] == [run.folder for run in found]


def test_missing_or_unfinished_run_raises_one_clear_error(here: Path) -> None:
    with pytest.raises(UserError, match="There is no run"):
        Run(here / "nowhere")
    (here / "begun").mkdir()
    with pytest.raises(UserError, match="is not finished"):
        _ = Run(here / "begun").result
    assert repr(Run(here / "begun")).endswith("no result)")


def test_public_names_are_listed() -> None:
    assert {"MFER", "Run", "evaluate", "export", "load_model", "predict", "report", "sweep", "train"} <= set(
        dir(mfer_lightning)
    )
    for name in mfer_lightning.__all__:
        assert getattr(mfer_lightning, name) is not None
