"""Stop the other processes of a distributed run when the first process fails."""

from __future__ import annotations

import signal

import lightning as L
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher


def stop_ranks(trainer: L.Trainer) -> None:
    """Stop the processes that this process started, which may be waiting for it.

    The thread that monitors these processes (:mod:`mfer_lightning.training.watch_ranks`) ends this process if one of
    them has failed. Here, this would give a wrong exit code and could end the next job of a sweep. The list of
    processes is therefore cleared.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        launcher.kill(signal.SIGKILL)
        for process in launcher.procs:
            process.wait()
        launcher.procs.clear()
