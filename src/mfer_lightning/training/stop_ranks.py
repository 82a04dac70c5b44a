"""Stop the further processes of a distributed run when the first one fails."""

from __future__ import annotations

import signal

import lightning as L
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher


def stop_ranks(trainer: L.Trainer) -> None:
    """End the processes that this one started, which may be waiting for it.

    Lightning watches its processes from a thread, and sends SIGTERM to the first where another ended with an error:
    that would give a wrong exit code here, and would hit the next job of a sweep. Without processes it watches nothing.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        launcher.kill(signal.SIGKILL)
        for process in launcher.procs:
            process.wait()
        launcher.procs.clear()
