"""A study continues on another machine: its finished runs are archived and restored, and count as finished there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from reporting.fabricate import write_run
from studies.conftest import Script

from mfer_lightning.evaluation.study_archive import ARCHIVE, ArchivedRun, read_archive, write_archive
from mfer_lightning.sweeps.identity import is_finished

CARRY = "carry.py"


def archived(study: Path) -> dict[str, ArchivedRun]:
    return {run.name: run for run in read_archive(study / ARCHIVE)}


def test_archived_runs_count_as_finished_on_another_machine(tmp_path: Path, script: Script) -> None:
    here, study, there = tmp_path / "here", tmp_path / "study", tmp_path / "there"
    runs = [write_run(here, loss, seed=seed) for loss in ("ce", "dsf") for seed in (0, 1)]
    (runs[3] / "result.json").unlink()
    first = script(CARRY, "keep", study, *here.glob("*-s0"))
    assert "archived 2, unchanged 0" in first.out, first.err
    second = script(CARRY, "keep", study, here)
    assert "archived 1, unchanged 2" in second.out
    assert f"left out: {runs[3]} is not finished" in second.out
    assert "restored 3, already there 0" in script(CARRY, "restore", study, there).out
    assert [is_finished(there / run.name) for run in runs] == [True, True, True, False]
    before = archived(study)
    write_run(there, "dsf", seed=1)
    assert "archived 1, unchanged 3" in script(CARRY, "keep", study, there).out
    after = archived(study)
    assert len(after) == 4
    assert all(run.equals(after[name]) for name, run in before.items())
    assert "restored 0, already there 4" in script(CARRY, "restore", study, there).out


def test_runs_of_several_sweeps_are_restored_with_their_evaluations(tmp_path: Path, script: Script) -> None:
    first = write_run(tmp_path / "here" / "a")
    second = write_run(tmp_path / "here" / "b")
    later = write_run(first / "evaluations", name="again")
    (later / "config.yaml").unlink()
    assert "archived 3," in script(CARRY, "keep", tmp_path / "study", tmp_path / "here").out
    assert "restored 3, already there 0" in script(CARRY, "restore", tmp_path / "study", tmp_path / "there").out
    back = {str(path.parent.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("result.json")}
    assert back == {f"a/{first.name}", f"a/{first.name}/evaluations/again", f"b/{second.name}"}


def test_unfinished_run_is_not_overwritten_and_a_partial_restore_is_completed(tmp_path: Path, script: Script) -> None:
    for seed in (0, 1):
        run = write_run(tmp_path / "here", seed=seed)
    script(CARRY, "keep", tmp_path / "study", tmp_path / "here")
    place = tmp_path / "there" / run.name
    (place / "checkpoints").mkdir(parents=True)
    said = script(CARRY, "restore", tmp_path / "study", tmp_path / "there")
    assert said.code == 2
    assert f"Nothing was restored: {place} contains an unfinished run" in said.err
    assert not list((tmp_path / "there").rglob("result.json"))
    (place / "checkpoints").rmdir()
    (place / "metrics.csv").write_text("half")
    assert "restored 2," in script(CARRY, "restore", tmp_path / "study", tmp_path / "there").out
    assert (place / "metrics.csv").read_text() == archived(tmp_path / "study")[run.name].metrics


@pytest.mark.parametrize("result", [{"schema_version": 99}, {"schema_version": 1, "protocol": "x@y"}])
def test_damaged_result_does_not_count_as_finished(tmp_path: Path, script: Script, result: dict[str, object]) -> None:
    write_run(tmp_path / "here")
    script(CARRY, "keep", tmp_path / "study", tmp_path / "here")
    (run,) = archived(tmp_path / "study").values()
    write_archive(tmp_path / "study" / ARCHIVE, [replace(run, result=result)])
    said = script(CARRY, "restore", tmp_path / "study", tmp_path / "there")
    assert said.code == 2
    assert "Nothing was restored" in said.err
    assert not (tmp_path / "there").exists()


def test_invalid_arguments_raise_one_clear_error(tmp_path: Path, script: Script) -> None:
    for words, told in (
        ([], "Usage: carry.py keep|restore"),
        (["keep", tmp_path / "study", tmp_path / "none"], "There is no folder"),
        (["restore", tmp_path / "study", tmp_path], "There is no archive"),
    ):
        said = script(CARRY, *words)
        assert (said.code, told in said.err, "Traceback" in said.err) == (2, True, False)
