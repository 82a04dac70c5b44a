"""Runs started by an earlier version resume with its values, which are never mixed with current ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from config.test_compose import composed

from mfer_lightning.sweeps.identity import run_name
from mfer_lightning.training.begun_before import config_begun_before, config_of, note_on_former_values
from mfer_lightning.training.build import build_network

TODAY = composed("backbone.options={depths:[1,1,1,1],dims:[8,8,8,16]}", "attention.kernel_size=3")
FORMER = {**TODAY, "attention": {k: v for k, v in TODAY["attention"].items() if k not in ("norm_eps", "init")}}


def begun(parent: Path, config: dict[str, Any], *, finished: bool = False, epochs: int = 1) -> Path:
    """A run's folder during or after training."""
    folder = parent / run_name(config)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    if epochs:
        (folder / "checkpoints" / "last.ckpt").touch()
    if finished:
        (folder / "result.json").touch()
    return folder


def test_old_and_new_defaults_give_two_run_names_and_two_networks() -> None:
    assert run_name(TODAY) != run_name(FORMER)
    former, today = (build_network(config, 2).backbone.model.stages[3].attention for config in (FORMER, TODAY))
    assert (former.norm.eps, today.norm.eps) == (1e-6, 1e-5)
    assert former.value.bias.any()
    assert not today.value.bias.any()
    assert former.value.weight.abs().max() > 0.1  # uniform up to 0.25; the current one has a standard deviation of 0.02
    assert today.value.weight.abs().max() < 0.1


def test_unfinished_run_with_the_old_name_resumes_with_its_values(tmp_path: Path) -> None:
    folder = begun(tmp_path, FORMER)
    assert config_begun_before(TODAY, tmp_path, in_sweep=False) == FORMER
    assert config_of(folder, TODAY) == FORMER
    note = note_on_former_values(FORMER)
    assert note is not None
    assert "attention.norm_eps=1e-06 attention.init=torch" in note
    assert "resume=never" in note


def test_untrained_finished_and_current_runs_are_not_earlier_runs(tmp_path: Path) -> None:
    assert config_begun_before(TODAY, tmp_path, in_sweep=False) is None  # there is none
    folder = begun(tmp_path, FORMER, epochs=0)
    assert config_begun_before(TODAY, tmp_path, in_sweep=False) is None  # nothing was trained
    shutil.rmtree(folder)
    begun(tmp_path, FORMER, finished=True)
    assert config_begun_before(TODAY, tmp_path, in_sweep=False) is None  # current values are another run
    begun(tmp_path, TODAY)
    assert config_of(tmp_path / run_name(TODAY), TODAY) == TODAY
    assert note_on_former_values(TODAY) is None


def test_current_run_takes_precedence_over_an_earlier_one(tmp_path: Path) -> None:
    begun(tmp_path, FORMER)
    assert config_begun_before({**TODAY, "resume": "never"}, tmp_path, in_sweep=False) is None
    begun(tmp_path, TODAY)
    assert config_begun_before(TODAY, tmp_path, in_sweep=False) is None


@pytest.mark.parametrize("finished", [False, True])
def test_all_jobs_of_a_sweep_use_the_values_it_was_started_with(tmp_path: Path, finished: bool) -> None:
    begun(tmp_path, FORMER, finished=finished)
    other = {**TODAY, "seed": 1}
    assert config_begun_before(other, tmp_path, in_sweep=True) == {**FORMER, "seed": 1}
    assert config_begun_before(other, tmp_path, in_sweep=False) is None


def test_runs_without_or_with_explicit_values_do_not_affect_a_sweep(tmp_path: Path) -> None:
    begun(tmp_path, {**FORMER, "attention": {"name": "none"}}, finished=True)
    begun(tmp_path, {**TODAY, "seed": 2, "attention": {**TODAY["attention"], "norm_eps": 1e-6, "init": "torch"}})
    assert config_begun_before(TODAY, tmp_path, in_sweep=True) is None
    begun(tmp_path, {**TODAY, "seed": 3})
    assert config_begun_before(TODAY, tmp_path, in_sweep=True) is None


def test_network_without_attention_has_no_such_values(tmp_path: Path) -> None:
    plain = {**TODAY, "attention": {"name": "none"}}
    begun(tmp_path, plain)
    assert config_begun_before(plain, tmp_path, in_sweep=False) is None
    assert note_on_former_values(plain) is None
