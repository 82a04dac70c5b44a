"""Searches by several processes: a trial on each GPU, pruned trials, two commands on one study."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from commands.processes import SMALL, Bench, results
from commands.processes import bench as bench

optuna = pytest.importorskip("optuna", minversion="4")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEARCH = ("sweep=optuna", "hydra/sweeper/sampler=random", "trainer=cpu", "loss=ce", "name=s", "report=false")


def trials(bench: Bench) -> list:
    storage = f"sqlite:///{bench.folder}/runs/s/study.db"
    return optuna.load_study(study_name="mfer", storage=storage).get_trials()


def test_one_trial_per_gpu_and_slow_trials_are_pruned(bench: Bench) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed: pip install 'mfer_lightning[ray]'")
    done = bench.mfer(
        *SEARCH,
        *("launcher=ray", "hydra.launcher.ray.init.num_gpus=2", "trainer.max_epochs=8"),
        *("hydra.sweeper.n_trials=8", "optimizer.lr=tag(log,interval(1e-7,1e-2))"),
        *("hydra.sweeper.pruner.n_startup_trials=2", "hydra.sweeper.pruner.n_warmup_steps=1"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    states = [t.state.name for t in trials(bench)]
    assert len(states) == 8
    assert set(states) == {"COMPLETE", "PRUNED"}
    folder = bench.folder / "runs" / "s"
    assert len(results(folder)) == states.count("COMPLETE")
    found = [json.loads(f.read_text()) for f in sorted((folder / "jobs").glob("*.json"))]
    assert {f["cards"] for f in found} == {"0", "1"}
    assert [f["status"] for f in found].count("pruned") == states.count("PRUNED")
    assert f"The study has 8 of 8 results, {states.count('PRUNED')} of them pruned." in done.stdout
    assert not bench.left_running()


def test_two_commands_share_one_study(bench: Bench) -> None:
    command = [sys.executable, "-m", "mfer_lightning", *SMALL, *SEARCH, "hydra.sweeper.n_trials=5"]
    options = {"cwd": bench.folder, "env": bench.environment(), "text": True}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) for _ in range(2)]
    said = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    found = trials(bench)
    assert [t.state.name for t in found] == ["COMPLETE"] * 5
    assert len({t.params["optimizer.lr"] for t in found}) == 5
    assert len({t.user_attrs["owner"] for t in found}) == 2, "both took part"
    assert len(results(bench.folder / "runs" / "s")) == 5
    assert not bench.left_running()
