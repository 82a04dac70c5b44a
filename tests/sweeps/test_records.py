"""Records of jobs, and the axes that a sweep varies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfer_lightning.sweeps.records import TOKEN, JobRecord, read_records, record_files, sweep_rows, varied_axes


def test_records_are_ordered_and_only_from_this_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "old")
    JobRecord(2, ("loss=ce",), "failed", "x", "boom").write(tmp_path)
    monkeypatch.setenv(TOKEN, "new")
    JobRecord(1, ("loss=dsf",), "done", "b").write(tmp_path)
    JobRecord(0, ("loss=ce",), "skipped", "a").write(tmp_path)
    records = read_records(tmp_path)
    assert [(r.number, r.overrides, r.status, r.run_dir) for r in records] == [
        (0, ("loss=ce",), "skipped", "a"),
        (1, ("loss=dsf",), "done", "b"),
    ]


def test_partially_written_record_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 84 jobs, twelve at a time, one found such a file in the listing, could not read it, and failed.
    monkeypatch.setenv(TOKEN, "now")
    JobRecord(7, ("loss=ce",), "running", "x").write(tmp_path)
    (tmp_path / "jobs" / ".0008-c3ndx2ws.json").symlink_to(tmp_path / "gone")
    assert [path.name for path in record_files(tmp_path)] == ["0007.json"]
    assert [record.number for record in read_records(tmp_path)] == [7]


def test_rows_join_records_with_results_and_keep_failures(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "result.json").write_text(json.dumps({"n": 5}))
    records = [
        JobRecord(0, ("loss=ce", "seed=0", "trainer.max_epochs=1"), "done", str(run)),
        JobRecord(1, ("loss=dsf", "seed=1", "trainer.max_epochs=1"), "failed", str(run), "why"),
    ]
    assert varied_axes(records) == ["loss", "seed"]
    rows = sweep_rows(records)
    assert rows[0] == {"loss": "ce", "seed": "0", "status": "done", "result": {"n": 5}, "error": None}
    assert rows[1] == {"loss": "dsf", "seed": "1", "status": "failed", "result": None, "error": "why"}
