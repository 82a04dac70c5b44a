"""A study goes on on another machine: its finished runs are kept, put back, and taken for finished there."""

from __future__ import annotations

from pathlib import Path

from report.fabricate import write_run
from studies.conftest import Script

from mfer_lightning.sweep.identity import is_finished

CARRY = "carry.py"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_kept_runs_are_finished_elsewhere_and_kept_again_as_they_were(tmp_path: Path, script: Script) -> None:
    here, study, there = tmp_path / "here", tmp_path / "study", tmp_path / "there"
    runs = [write_run(here, loss, seed=seed) for loss in ("ce", "dsf") for seed in (0, 1)]
    (runs[3] / "result.json").unlink()
    first = script(CARRY, "keep", study, *here.glob("*-s0"))
    assert "2 runs kept, 0 were kept before" in first.out, first.err
    second = script(CARRY, "keep", study, here)
    assert "1 runs kept, 2 were kept before" in second.out
    assert f"left out: {runs[3]} has not ended" in second.out
    assert "3 kept runs put back, 0 were there" in script(CARRY, "restore", study, there).out
    assert [is_finished(there / run.name) for run in runs] == [True, True, True, False]
    before = files(study)
    write_run(there, "dsf", seed=1)
    assert "1 runs kept, 3 were kept before" in script(CARRY, "keep", study, there).out
    after = files(study)
    assert before.items() < after.items()
    assert "0 kept runs put back, 4 were there" in script(CARRY, "restore", study, there).out


def test_a_run_that_was_begun_is_not_written_over(tmp_path: Path, script: Script) -> None:
    run = write_run(tmp_path / "here")
    script(CARRY, "keep", tmp_path / "study", tmp_path / "here")
    (run / "result.json").unlink()
    said = script(CARRY, "restore", tmp_path / "study", tmp_path / "here")
    assert said.code == 2
    assert f"{run} is a run that was begun" in said.err
    assert (run / "predictions_test.csv").is_file()


def test_mistakes_are_a_sentence(tmp_path: Path, script: Script) -> None:
    for words, told in (
        ([], "Say `keep"),
        (["keep", tmp_path / "study", tmp_path / "none"], "no such folder of runs"),
        (["restore", tmp_path / "study", tmp_path], "no kept run"),
    ):
        said = script(CARRY, *words)
        assert (said.code, told in said.err, "Traceback" in said.err) == (2, True, False)
