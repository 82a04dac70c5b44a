"""Stop the other processes of a distributed run when the first one fails."""

from __future__ import annotations

import signal

import lightning as L
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher


def stop_ranks(trainer: L.Trainer) -> None:
    """Stop the processes that this process started, which may be waiting for it.

    Lightning monitors its processes from a thread, and sends SIGTERM to the first if another ends with an error. Here,
    that would give a wrong exit code and hit the next job of a sweep. Without processes, it monitors nothing.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        launcher.kill(signal.SIGKILL)
        for process in launcher.procs:
            process.wait()
        launcher.procs.clear()
