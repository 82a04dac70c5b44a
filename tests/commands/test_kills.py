"""A run is killed or stopped at any moment, and the same command is repeated."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from commands.conftest import TINY

from mfer_lightning.files import atomic_path, remove_leftovers
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.inference.model import read_model

KILLS = 20
EPOCHS = 8

#: The command line in a separate process. Flushing a file is slowed down, so that a kill can happen during it.
PROGRAM = """
import os, sys, time
real = os.fsync
os.fsync = lambda file: (time.sleep(0.1), real(file))[1]
from mfer_lightning.cli import main
main(sys.argv[1:])
"""
OPTIONS = (
    *(option for option in TINY if not option.startswith("trainer.max_epochs")),
    f"trainer.max_epochs={EPOCHS}",
    "dataset.train_size=128",
    "dataset.val_size=24",
    "dataset.test_size=16",
    "evaluation.embedding_points=0",
)


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    program = folder / "program.py"  # a file: Lightning starts further ranks by running it again
    program.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(program), *OPTIONS, *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "stderr.txt").open("ab"),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,  # so that its process group contains the whole run and nothing else
    )


def kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def left_in(folder: Path) -> list[str]:
    """Return other processes whose command line contains a folder."""
    found = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False).stdout.split()
    return [number for number in found if number != str(os.getpid())]


def run_in(folder: Path) -> Path | None:
    found = list((folder / "runs").glob("*/config.yaml"))
    assert len(found) <= 1
    return found[0].parent if found else None


def epochs_of(run: Path) -> list[int]:
    if not (run / "metrics.csv").is_file():
        return []
    with (run / "metrics.csv").open(newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def check_whole(run: Path) -> None:
    """Check that all files are complete: checkpoints load, and metrics.csv has every epoch once."""
    checkpoints = {p.stem: read_checkpoint(p) for p in (run / "checkpoints").glob("[!.]*.ckpt")}
    epochs = epochs_of(run)
    assert epochs == list(range(len(epochs)))
    if "last" in checkpoints:
        assert checkpoints["last"]["epoch"] <= len(epochs) - 1
    if (run / "result.json").is_file():
        json.loads((run / "result.json").read_text())


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]


def wait_for_write(folder: Path, process: subprocess.Popen[bytes], nth: int) -> None:
    """Wait until the process is writing its nth checkpoint."""
    seen: set[str] = set()
    while process.poll() is None:
        run = run_in(folder)
        if run is not None:
            seen |= {p.name for p in (run / "checkpoints").glob(".*.ckpt")}
            if len(seen) >= nth:
                return
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_do_not_change_the_final_weights(tmp_path: Path) -> None:
    began = time.monotonic()
    assert start(tmp_path / "alone").wait() == 0
    seconds = time.monotonic() - began
    alone = run_in(tmp_path / "alone")
    assert alone is not None

    rng = random.Random(0)
    folder, kills, during_write = tmp_path / "killed", 0, 0
    while kills < KILLS:
        process = start(folder)
        if kills % 2:
            wait_for_write(folder, process, rng.choice((1, 1, 2, 3)))
            during_write += process.poll() is None
        else:
            time.sleep(rng.uniform(0.3, 0.9) * seconds)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        run = run_in(folder)
        if run is None:
            continue
        check_whole(run)
        if (run / "result.json").is_file() and kills < KILLS:  # finished: start another run
            run.rename(tmp_path / f"finished{kills}")
            assert_same(tmp_path / f"finished{kills}", alone)
    assert during_write >= KILLS // 2 - 1
    if run_in(folder) is None or not (run_in(folder) / "result.json").is_file():  # type: ignore[operator]
        assert start(folder).wait() == 0, (folder / "stderr.txt").read_text()[-2000:]
    run = run_in(folder)
    assert run is not None
    check_whole(run)
    assert_same(run, alone)
    assert not list(run.rglob(".*")), "a temporary file of a killed process was left"


def assert_same(run: Path, alone: Path) -> None:
    assert epochs_of(run) == list(range(EPOCHS))
    mine, theirs = final_weights(run), final_weights(alone)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    results = [json.loads((r / "result.json").read_text()) for r in (run, alone)]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["confusion"] == results[1]["confusion"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("to", "workers"), [("process", 0), ("process", 2), ("group", 2)]  # `timeout`, SLURM and systemd signal a group
)  # fmt: skip
@pytest.mark.parametrize("ranks", [1, 2])
def test_sigterm_mid_epoch_saves_within_ten_seconds_and_exits_with_code_143(
    ranks: int, to: str, workers: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    more = () if ranks == 1 else ("trainer=ddp_cpu", "trainer.devices=2")
    read = f"loader.num_workers={workers}"
    process = start(tmp_path / "run", "trainer.max_epochs=500", "dataset.train_size=3000", read, *more)
    request.addfinalizer(lambda: kill_group(process.pid))
    while process.poll() is None:
        run = run_in(tmp_path / "run")
        if run is not None and epochs_of(run):
            break
        time.sleep(0.05)
    assert process.poll() is None, (tmp_path / "run" / "stderr.txt").read_text()[-2000:]
    assert run is not None
    began = time.monotonic()
    if to == "process":
        process.send_signal(signal.SIGTERM)
    else:
        os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert time.monotonic() - began < 10
    assert "Stopped by SIGTERM" in (tmp_path / "run" / "stderr.txt").read_text()
    model = read_model(run / "checkpoints" / "interrupted.ckpt", device="cpu")
    assert model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))["logits"].isfinite().all()
    check_whole(run)
    # Data-loading workers check every 5 seconds whether their rank is still running.
    end = time.monotonic() + (1 if workers == 0 else 20)
    while left := left_in(tmp_path):
        assert time.monotonic() < end, left
        time.sleep(0.2)


def test_only_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    keep = [tmp_path / ".lock", tmp_path / "a-12345678.ckpt", tmp_path / ".hidden", tmp_path / "best.ckpt"]
    for file in keep:
        file.touch()
    with atomic_path(tmp_path / "checkpoints" / "last.ckpt") as temporary:
        copies = [temporary.with_name(temporary.name), tmp_path / temporary.name]
        copies[1].touch()
        assert set(remove_leftovers(tmp_path)) == set(copies)
        temporary.touch()
    assert sorted(f for f in tmp_path.rglob("*") if f.is_file()) == sorted(
        [*keep, tmp_path / "checkpoints" / "last.ckpt"]
    )
