"""Sweeps with jobs in other processes or of several ranks: one folder per job, and no process left running."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands.processes import SMALL, Bench, check_two_ranks, results
from commands.processes import bench as bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def statuses(folder: Path) -> list[str]:
    return [json.loads(f.read_text())["status"] for f in sorted((folder / "jobs").glob("*.json"))]


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_in_other_processes_are_reported_and_skipped_like_local_ones(launcher: str, bench: Bench) -> None:
    sweep = ("-m", f"launcher={launcher}", "trainer=cpu", "name=s", "loss=ce")
    done = bench.mfer(*sweep, "backbone.name=convnext_tiny,nope")
    folder = bench.folder / "runs" / "s"
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert statuses(folder) == ["done", "failed"]
    assert len(results(folder)) == 1
    said = " ".join(done.stdout.split())
    assert "1 job without a result: backbone.name=nope: Unknown backbone 'nope'" in said
    assert "Unknown backbone 'nope'" in (folder / "jobs" / "0001.log").read_text()
    assert "epoch 1/1" in " ".join((folder / "jobs" / "0000.log").read_text().split())
    assert not bench.left_running()

    before = {run: (run / "result.json").stat().st_mtime_ns for run in results(folder)}
    done = bench.mfer(*sweep, "backbone.name=convnext_tiny,nope")
    assert done.returncode == 1, done.stdout + done.stderr
    assert statuses(folder) == ["skipped", "failed"]
    assert {run: (run / "result.json").stat().st_mtime_ns for run in results(folder)} == before
    assert not bench.left_running()


@pytest.mark.parametrize("launcher", [None, "joblib", "submitit_local"])
def test_every_rank_of_a_job_trains_the_same_grid_point(launcher: str | None, bench: Bench) -> None:
    more = () if launcher is None else (f"launcher={launcher}",)
    done = bench.mfer("-m", *more, "trainer=ddp_cpu", "name=s", "loss=ce,dsf")
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(bench.folder / "runs" / "s")
    assert [r["config"]["loss"]["name"] for r in found.values()] == ["ce", "dsf"]
    assert all(result["n"] == 37 for result in found.values())
    for run in found:
        check_two_ranks(run)
    assert not bench.left_running()


def test_every_rank_of_a_trial_trains_the_same_values_and_the_study_resumes(bench: Bench) -> None:
    pytest.importorskip("optuna", minversion="4")
    search = ("sweep=optuna", "trainer=ddp_cpu", "name=s", "loss=choice(ce,dsf)", "trainer.clip=null")
    done = bench.mfer(*search, "hydra.sweeper.n_trials=2")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = bench.folder / "runs" / "s"
    first = results(folder)
    assert len(first) == 2
    for run, result in first.items():
        check_two_ranks(run)
        assert result["config"]["trainer"]["gradient_clip_val"] is None
    assert len({result["config"]["optimizer"]["lr"] for result in first.values()}) == 2
    assert not bench.left_running()

    done = bench.mfer(*search, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The study has 2 of 3 results" in done.stdout
    second = results(folder)
    assert len(second) == 3, "an earlier trial was proposed again"
    for run in second:
        check_two_ranks(run)
    best = max(result["selection"]["value"] for result in second.values())
    said = " ".join(done.stdout.split())
    assert f"selection metric on val {best:.4f}" in said
    assert "The study has 3 of 3 results." in said
    assert not bench.left_running()

    done = bench.mfer(*search, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0
    assert "job 0" not in done.stdout
    assert f"selection metric on val {best:.4f}" in " ".join(done.stdout.split())


def test_failing_trial_does_not_stop_a_search(bench: Bench) -> None:
    pytest.importorskip("optuna", minversion="4")
    search = ("sweep=optuna", "hydra/sweeper/sampler=grid", "trainer=cpu", "loss=ce", "optimizer.lr=1e-3")
    more = ("name=s", "optimizer.weight_decay=0.1", "backbone.name=choice(convnext_tiny,nope)")
    done = bench.mfer(*search, *more)
    assert done.returncode == 1, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "backbone.name=nope: Unknown backbone 'nope'" in said
    assert "and 1 trial without a result" in said
    assert "backbone.name=convnext_tiny" in said[said.index("Best trial") :]
    assert len(results(bench.folder / "runs" / "s")) == 1
    assert "Traceback" not in done.stderr


def test_sigterm_stops_a_parallel_sweep_and_its_jobs(bench: Bench) -> None:
    arguments = ("-m", "launcher=joblib", "trainer=cpu", "name=s", "loss=ce", "seed=0,1")
    process = subprocess.Popen(
        [sys.executable, "-m", "mfer_lightning", *SMALL, *arguments, "trainer.max_epochs=500"],
        cwd=bench.folder,
        env=bench.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(list((bench.folder / "runs" / "s").glob("*/checkpoints/last.ckpt"))) < 2:
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    assert not bench.left_running()
