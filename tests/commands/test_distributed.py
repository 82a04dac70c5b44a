"""Two ranks on the CPU give the same losses and metrics as one, with every face counted once."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands.conftest import FACS, only_run

OPTIONS = (*FACS, "trainer.precision=32-true", "dataset.val_size=41", "evaluation.embedding_points=0")


def run(tmp_path: Path, trainer: str, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = [a for a in OPTIONS if not a.startswith("trainer.accelerator")]
    return subprocess.run(
        [sys.executable, "-m", "mfer_lightning", *arguments, *more, f"trainer={trainer}", f"name={trainer}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )


@pytest.mark.slow
def test_two_ranks_match_one_rank_with_the_combined_batch(tmp_path: Path) -> None:
    rows, results = {}, {}
    for trainer in ("cpu", "ddp_cpu"):
        done = run(tmp_path, trainer, "trainer.max_epochs=5", "metrics=[kappa]")  # 4 steps an epoch: 20
        assert done.returncode == 0, done.stderr
        folder = only_run(tmp_path / "runs" / trainer)
        with (folder / "metrics.csv").open(newline="") as file:
            rows[trainer] = list(csv.DictReader(file))
        results[trainer] = json.loads((folder / "result.json").read_text())
    assert results["cpu"]["n"] == results["ddp_cpu"]["n"] == 37
    assert results["ddp_cpu"]["metrics"]["nll"] == pytest.approx(results["cpu"]["metrics"]["nll"], abs=1e-4)
    assert results["ddp_cpu"]["metrics"]["kappa"] == pytest.approx(results["cpu"]["metrics"]["kappa"], abs=1e-4)
    assert all(row["val/kappa"] for row in rows["cpu"])
    assert len(rows["cpu"]) == len(rows["ddp_cpu"]) == 5
    for one, two in zip(rows["cpu"], rows["ddp_cpu"], strict=True):
        for name in one:
            if name.startswith(("train/", "val/")):
                assert float(two[name]) == pytest.approx(float(one[name]), abs=1e-4), name


@pytest.mark.slow
def test_sweep_of_two_rank_jobs_trains_each_job_once_in_its_own_folder(tmp_path: Path) -> None:
    done = run(tmp_path, "ddp_cpu", "-m", "seed=0,1", "loss=ce")
    assert done.returncode == 0, done.stderr
    runs = sorted(f.parent for f in (tmp_path / "runs" / "ddp_cpu").glob("*/result.json"))
    assert len(runs) == 2
    assert {json.loads((r / "result.json").read_text())["seed"] for r in runs} == {0, 1}


@pytest.mark.slow
def test_user_error_on_two_ranks_prints_no_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "ddp_cpu", "optimizer.lr=1e30", "ema=none", "trainer.clip=null")
    assert done.returncode != 0
    assert "not a finite number" in done.stderr or "not finite numbers" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_initially_frozen_backbone_trains_identically_on_two_ranks(tmp_path: Path) -> None:
    assert run(tmp_path, "cpu", "loss=ce").returncode == 0
    weights = only_run(tmp_path / "runs" / "cpu") / "checkpoints" / "last.ckpt"
    rows = {}
    for trainer in ("cpu", "ddp_cpu"):
        done = run(tmp_path, trainer, "freeze=backbone", "freeze.epochs=1", f"weights={weights}")
        assert done.returncode == 0, done.stderr
        folder = next(
            f.parent for f in (tmp_path / "runs" / trainer).glob("*/result.json") if "-ce-" not in f.parent.name
        )
        with (folder / "metrics.csv").open(newline="") as file:
            rows[trainer] = list(csv.DictReader(file))
    for one, two in zip(rows["cpu"], rows["ddp_cpu"], strict=True):
        for name in ("train/loss", "val/nll"):
            assert float(two[name]) == pytest.approx(float(one[name]), abs=1e-4), name
