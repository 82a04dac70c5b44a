"""A process that reads faces outlives a signal that is meant for the one that trains, and not for ever."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection

import pytest

from mfer_lightning.data import workers


def read_on(ready: Connection) -> None:
    workers.outlast_sigterm(0)
    ready.send(None)
    while True:
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no alarm")
def test_a_worker_goes_on_after_sigterm_for_as_long_as_it_takes_to_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 1.0)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    worker = context.Process(target=read_on, args=(theirs,), daemon=True)
    worker.start()
    try:
        ours.recv()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGTERM)
        worker.join(0.5)
        assert worker.is_alive()
        worker.join(10)
        assert worker.exitcode == -signal.SIGALRM
    finally:
        worker.kill()
