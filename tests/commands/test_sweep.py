"""Sweeps: every job runs, failures are named, finished jobs are skipped, one table at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands.conftest import FACS, Mfer

SWEEP = (*FACS, "trainer.max_epochs=1", "dataset.train_size=32", "evaluation.embedding_points=0", "name=s")


def test_a_sweep_ends_with_one_table_and_a_second_start_skips_what_is_finished(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer("-m", *SWEEP, "loss=ce,dsf", "seed=0,1") == 0
    said = capsys.readouterr().out
    table = said[said.rindex("facs@native") :]
    assert "ce" in table
    assert "dsf" in table
    runs = sorted(f.parent for f in (tmp_path / "runs" / "s").glob("*/result.json"))
    assert len(runs) == 4
    before = {r: (r / "result.json").stat().st_mtime_ns for r in runs}
    assert mfer("-m", *SWEEP, "loss=ce,dsf", "seed=0,1,2") == 0
    assert {r: (r / "result.json").stat().st_mtime_ns for r in runs} == before
    assert len(list((tmp_path / "runs" / "s").glob("*/result.json"))) == 6


def test_a_failing_job_is_named_and_does_not_stop_the_others(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer("-m", *SWEEP, "backbone.name=convnext_tiny,nope", "seed=0") == 1
    done = [json.loads(f.read_text()) for f in sorted((tmp_path / "runs" / "s" / "jobs").glob("*.json"))]
    assert [d["status"] for d in done] == ["done", "failed"]
    said = " ".join(capsys.readouterr().out.split())
    assert "backbone.name=nope" in said
    assert "Unknown backbone" in said
