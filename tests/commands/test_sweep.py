"""Sweeps: every job runs, failures are named, finished jobs are skipped, one table at the end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml
from commands.conftest import FACS, Mfer

from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.sweeps.identity import run_name
from mfer_lightning.sweeps.records import TOKEN, JobRecord, read_records, sweep_rows

SWEEP = (*FACS, "trainer.max_epochs=1", "dataset.train_size=32", "evaluation.embedding_points=0", "name=s")


def test_sweep_ends_with_one_table_and_a_second_start_skips_finished_jobs(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sweep = ("-m", *SWEEP, "report=false")
    assert mfer(*sweep, "loss=ce,dsf") == 0
    said = capsys.readouterr().out
    table = said[said.rindex("facs@native") :]
    assert "ce" in table
    assert "dsf" in table
    runs = sorted(f.parent for f in (tmp_path / "runs" / "s").glob("*/result.json"))
    assert len(runs) == 2
    before = {r: (r / "result.json").stat().st_mtime_ns for r in runs}
    assert mfer(*sweep, "loss=ce,dsf,center") == 0
    assert {r: (r / "result.json").stat().st_mtime_ns for r in runs} == before
    assert len(list((tmp_path / "runs" / "s").glob("*/result.json"))) == 3


@pytest.mark.slow
def test_augmentation_ablation_report_names_the_setting(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer("-m", *SWEEP, "loss=ce", "augment=standard", "augment.flip.p=0,0.5", "seed=0,1") == 0
    said = capsys.readouterr().out
    table = said[said.rindex("facs@native, split test") :]
    assert "augment.flip.p" in table
    assert table.count("2 seeds") == 2
    runs = tmp_path / "runs" / "s"
    report = next(runs.rglob("report.html"))
    assert "augment.flip.p" in report.read_text()
    with (report.parent / "tables" / "runs.csv").open(newline="") as file:
        rows = [(row["augment.flip.p"], row["seed"]) for row in csv.DictReader(file)]
    assert sorted(rows) == [("0", "0"), ("0", "1"), ("0.5", "0"), ("0.5", "1")]
    whole = run_name_without_changes(runs)
    assert len(whole) == 2, "with the preset's own value a run has the name that augment=standard alone gives it"
    checkpoint = read_checkpoint(next(runs.glob("*/checkpoints/best.ckpt")))
    transforms = checkpoint["mfer"]["augmentation"]["transform"]["transforms"]
    assert [t["__class_fullname__"].rpartition(".")[2] for t in transforms] == [
        *("HorizontalFlip", "RandomWarp", "RandomLight")
    ]


def run_name_without_changes(runs: Path) -> list[str]:
    """Folders of runs named as if the augmentation had been stored only by name."""
    configs = {f.parent.name: yaml.safe_load(f.read_text()) for f in runs.glob("*/config.yaml")}
    return [n for n, config in configs.items() if run_name({**config, "augment": {"name": "standard"}}) == n]


def test_failing_job_is_reported_and_does_not_stop_the_others(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer("-m", *SWEEP, "backbone.name=convnext_tiny,nope", "seed=0") == 1
    done = [json.loads(f.read_text()) for f in sorted((tmp_path / "runs" / "s" / "jobs").glob("*.json"))]
    assert [d["status"] for d in done] == ["done", "failed"]
    said = " ".join(capsys.readouterr().out.split())
    assert "backbone.name=nope" in said
    assert "Unknown backbone" in said


#: Six jobs from a user's folder of recipes: four that train, one that diverges, one that fails to build.
CASES = {
    **{f"lr{n}": f"optimizer: {{ lr: {n}.0e-3 }}" for n in (1, 2, 3, 4)},
    "diverges": "optimizer: { lr: 1.0e+30 }\ntrainer: { clip: null }\nema: { name: none }",
    "nope": "backbone: { name: nope }",
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), ("launcher=joblib",)], ids=["here", "joblib"])
def test_second_start_reruns_only_diverged_and_failed_jobs(
    launcher: tuple[str, ...], mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name, text in CASES.items():
        (tmp_path / "mine" / "case").mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / "case" / f"{name}.yaml").write_text(f"# @package _global_\n# One case.\n{text}\n")
    sweep = ("-m", *launcher, "--config-dir", "mine", *SWEEP, "trainer.max_epochs=2", "loss=ce")
    cases = f"+case={','.join(CASES)}"

    assert mfer(*sweep, f"{cases},nonsense") == 2
    assert "nonsense" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists(), "an option that does not compose is refused before the first job"

    assert mfer(*sweep, cases) == 1
    said = " ".join(capsys.readouterr().out.split())
    runs = tmp_path / "runs" / "s"
    finished = {f.parent: f.stat().st_mtime_ns for f in runs.glob("*/result.json")}
    assert len(finished) == 4
    told = said[said.index("2 jobs without a result") :]
    assert "case=diverges: The loss is not a finite number in epoch" in told or "case=diverges: The weights" in told
    assert "case=nope: Unknown backbone 'nope'" in told
    assert told.count("case=") == 2
    assert all(f"lr{n}" in said[: said.index("2 jobs without")] for n in (1, 2, 3, 4))

    one = next(iter(finished))
    (one / "result.json").unlink()  # as if it had been interrupted
    assert mfer(*sweep, cases) == 1
    capsys.readouterr()
    records = [json.loads(f.read_text()) for f in sorted((runs / "jobs").glob("*.json"))]
    assert [r["status"] for r in records].count("skipped") == 3
    assert [r["run_dir"] for r in records if r["status"] == "done"] == [str(one.relative_to(tmp_path))]
    again = {f.parent: f.stat().st_mtime_ns for f in runs.glob("*/result.json")}
    assert again.keys() == finished.keys()
    assert {run for run in finished if finished[run] != again[run]} == {one}


def test_job_without_result_is_reported_as_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "this start")
    JobRecord(0, ("loss=ce",), "running", str(tmp_path)).write(tmp_path)
    (row,) = sweep_rows(read_records(tmp_path))
    assert row["result"] is None
    assert "killed" in row["error"]
