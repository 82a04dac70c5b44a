"""A loader worker or a face detection worker is killed, as by the kernel when memory runs out."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands.processes import SMALL, Bench
from commands.processes import bench as bench
from commands.test_kills import check_whole, epochs_of, final_weights, run_in
from faults.faces import write_photo
from faults.test_killed_ranks import parent
from inference.predict.conftest import save_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

TRAIN = (
    *(o for o in SMALL if not o.startswith(("trainer.max_epochs", "dataset.train_size", "loader.num"))),
    "trainer=cpu",
    "trainer.max_epochs=6",
    "dataset.train_size=640",
    "loader.num_workers=2",
)


def begin(bench: Bench, folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mfer_lightning", *arguments]
    given = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=bench.environment(**more), **given)


def wait_for(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    while process.poll() is None and not ready():
        time.sleep(0.02)
    assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]


def kill_a_worker(bench: Bench, process: subprocess.Popen[str], rng: random.Random) -> None:
    """Kill one of the child processes of the command, except the process that manages shared memory."""
    words = bench.running()
    workers = sorted(n for n in words if parent(n) == process.pid and "resource_tracker" not in words[n])
    assert workers
    os.kill(rng.choice(workers), signal.SIGKILL)


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the command to end with exit code 2, and return its only error message."""
    said = process.communicate(timeout=120)[1]
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert process.returncode == 2, said
    assert len(errors) == 1, said
    assert "Traceback" not in said
    return errors[0]


def test_killed_loader_worker_raises_one_clear_error_and_the_run_resumes_exactly(bench: Bench) -> None:
    alone = begin(bench, bench.folder / "alone", *TRAIN)
    said = alone.communicate()[1]
    assert alone.returncode == 0, said
    rng, folder = random.Random(0), bench.folder / "killed"
    for epochs in (0, 2, 4):
        process = begin(bench, folder, *TRAIN)

        def ready(least: int = epochs) -> bool:
            run = run_in(folder)
            begun = run is not None and len(epochs_of(run)) >= least
            return begun and len([n for n in bench.running() if parent(n) == process.pid]) >= 2  # noqa: B023

        wait_for(process, ready)
        time.sleep(rng.uniform(0.0, 0.5))
        kill_a_worker(bench, process, rng)
        error = ended(process)
        assert re.match(r"Error: A worker of the loader .* was killed; is the machine out of memory?", error), error
        assert "The same command continues the run" in error
        assert bench.left_running() == []
        if (found := run_in(folder)) is not None:  # the folder of a run without an epoch is removed
            check_whole(found)
    process = begin(bench, folder, *TRAIN)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    mine, theirs = (final_weights(run_in(bench.folder / name)) for name in ("killed", "alone"))  # type: ignore[arg-type]
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_killed_predict_worker_raises_one_clear_error_and_the_same_command_resumes(bench: Bench, run: Path) -> None:
    photos, output = bench.folder / "photos", bench.folder / "out"
    photos.mkdir()
    for number in range(400):
        write_photo(photos / f"{number:03}.png", number)
    command = ("predict", str(photos), f"checkpoint={run}", "workers=2", "device=cpu")
    process = begin(bench, bench.folder, *command, f"output={output}")
    lines = output / "predictions.jsonl"
    wait_for(process, lambda: lines.is_file() and lines.read_bytes().count(b"\n") > 50)
    kill_a_worker(bench, process, random.Random(0))
    assert "A worker process died (out of memory?). Finished work is kept" in ended(process)
    assert bench.left_running() == []
    for folder in (output, bench.folder / "alone"):
        process = begin(bench, bench.folder, *command, f"output={folder}")
        assert process.communicate()[0] is None
        assert process.returncode == 0
    assert lines.read_bytes() == (bench.folder / "alone" / "predictions.jsonl").read_bytes()


@pytest.mark.parametrize("command", [("evaluate",), ("export", "half=true", "faces=4000")])
def test_killed_worker_of_an_evaluation_or_export_raises_one_clear_error(
    command: tuple[str, ...], bench: Bench, tmp_path: Path
) -> None:
    sizes = {"train_size": 8, "val_size": 4000, "test_size": 4000, "size": 64, "cache": "none"}
    config = {"dataset": {"_target_": "mfer_lightning.data.datasets.FacsDataModule", "name": "facs", **sizes}}
    trained = save_run(tmp_path / "run", dataset="facs", protocol="facs@native", config=config)
    output = bench.folder / "out"
    process = begin(bench, bench.folder, *command, f"checkpoint={trained}", f"output={output}", "loader.num_workers=2")
    wait_for(process, lambda: len([n for n in bench.running() if parent(n) == process.pid]) >= 2)
    kill_a_worker(bench, process, random.Random(0))
    error = ended(process)
    assert re.match(r"Error: A worker of the loader .* was killed; is the machine out of memory?", error), error
    assert "loader.eval_batch_size=... Then repeat the command." in error
    assert bench.left_running() == []
    assert not list(output.glob("*.json"))
