"""Detect when a process of a distributed run dies, report it, and end the processes that wait for it.

Lightning starts the other ranks as child processes of the first rank. It monitors them from a thread and, if one of
them dies, kills all ranks without an error message. It does not monitor the first rank: if the first rank dies, the
others may wait for half an hour. The others therefore monitor it themselves (:mod:`mfer_lightning.first_rank`).
torchrun and SLURM monitor all processes that they start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher, subprocess_script

from mfer_lightning import termination
from mfer_lightning.first_rank import FIRST, LOOK, end_process, is_further_rank

#: Grace period in seconds, in which the first rank can fail with its own error after another rank has died.
PATIENCE = 15.0

Ranks = Sequence[subprocess.Popen]


@contextmanager
def ranks_watched() -> Iterator[None]:
    """Monitor the ranks that Lightning starts within a block, replacing Lightning's observer.

    The environment variable set here tells these ranks which process to monitor.
    """
    if is_further_rank():
        yield
        return
    launching: Any = subprocess_script  # there is no public way to replace the observer
    lightnings = launching._launch_process_observer
    launching._launch_process_observer = _watch
    os.environ[FIRST] = str(os.getpid())
    try:
        yield
    finally:
        launching._launch_process_observer = lightnings
        os.environ.pop(FIRST, None)


def lost_rank(trainer: L.Trainer) -> str | None:
    """Describe the lowest-numbered rank that has failed, to explain an error of this process; None if none has."""
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher) or not launcher.procs:
        return None
    time.sleep(0.5)  # the connection may break a moment before the process has ended
    return _said_of(launcher.procs)


def _said_of(ranks: Ranks) -> str | None:
    """Describe the lowest-numbered rank that has failed; None if none has.

    Example:
        >>> dead = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
        >>> _ = dead.wait()
        >>> _said_of([dead]).partition(" (")[0]
        'Rank 1 of the run was killed'
    """
    for rank, process in enumerate(ranks, start=1):
        code = process.poll()
        if not code:
            continue
        if code > 0:
            return f"Rank {rank} of the run failed with exit code {code}. See its error message."
        why = "out of memory?" if code == -signal.SIGKILL else signal.strsignal(-code)
        return (
            f"Rank {rank} of the run was killed (process {process.pid}, signal {-code}: {why}). "
            "The same command continues the run."
        )
    return None


def _watch(ranks: Ranks) -> None:
    threading.Thread(target=_end_without, args=(ranks,), name="mfer-ranks", daemon=True).start()


def _end_without(ranks: Ranks) -> None:
    """End this process if a rank has died and this process hangs.

    If this process fails with its own error instead, ``stop_ranks`` empties ``ranks``, and nothing is done here.
    """
    while any(process.poll() is None for process in ranks):
        if (said := _said_of(ranks)) is not None:
            break
        time.sleep(LOOK)
    else:
        said = _said_of(ranks)
    if said is None:
        return
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if not ranks or termination.received():
            return
        time.sleep(0.1)
    print(f"Error: {said}", file=sys.stderr, flush=True)
    for process in ranks:
        process.kill()
    end_process()
