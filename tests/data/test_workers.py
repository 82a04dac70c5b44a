"""Loader workers survive a signal meant for the training process, and end when that process ends them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np
import pytest

from mfer_lightning.data import workers

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "sigtimedwait"), reason="this system does not say who sent a signal"
)

#: A program whose loader still has running workers when the interpreter exits.
PROGRAM = """
from torch.utils.data import DataLoader
from mfer_lightning.data.workers import start_worker
loader = DataLoader(range(8), num_workers=1, persistent_workers=True, worker_init_fn=start_worker)
iterator = iter(loader)
print(next(iterator))
"""


def read_on(ready: Connection) -> None:
    workers.PATIENCE = 4.0
    workers.start_worker(0)
    ready.send(np.random.random())  # noqa: NPY002 - global random numbers are the point
    while True:
        time.sleep(0.01)


@pytest.fixture
def worker() -> Iterator[BaseProcess]:
    # Forked from a fresh process: in this one, other tests have loaded libraries that start threads after a fork.
    multiprocessing.set_forkserver_preload([__name__])
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=read_on, args=(theirs,), daemon=True)
    process.start()
    ours.recv()
    yield process
    process.kill()


def tell(process: BaseProcess, name: str) -> None:
    """Send a signal as a third process."""
    subprocess.run(["kill", f"-{name}", str(process.pid)], check=True)


@pytest.mark.slow
def test_worker_survives_sigterm_until_the_checkpoint_is_saved(worker: BaseProcess) -> None:
    began = time.monotonic()
    tell(worker, "TERM")
    worker.join(1)
    assert worker.is_alive()
    tell(worker, "TERM")  # does not restart the countdown
    worker.join(20)
    assert worker.exitcode == 128 + signal.SIGTERM
    assert time.monotonic() - began > 3.5


def test_worker_ignores_sigusr1(worker: BaseProcess) -> None:
    tell(worker, "USR1")
    worker.join(1)
    assert worker.is_alive()


@pytest.mark.parametrize("told_before", [False, True])
def test_worker_exits_when_the_training_process_tells_it_to(worker: BaseProcess, told_before: bool) -> None:
    if told_before:
        tell(worker, "TERM")
        worker.join(0.2)
    worker.terminate()
    worker.join(3)
    assert worker.exitcode == 0


def test_global_random_state_is_seeded_like_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = []
    monkeypatch.setattr(workers, "pl_worker_init_function", seeded.append)
    monkeypatch.setattr(workers.threading, "current_thread", lambda: None)  # keep this process's signal handlers
    monkeypatch.delenv("PL_SEED_WORKERS", raising=False)
    workers.start_worker(3)
    assert seeded == []
    monkeypatch.setenv("PL_SEED_WORKERS", "1")
    workers.start_worker(3)
    assert seeded == [3]


@pytest.mark.slow
def test_program_exits_quickly_and_silently_without_closing_its_loader() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == "tensor([0])"
    assert done.stderr == ""
