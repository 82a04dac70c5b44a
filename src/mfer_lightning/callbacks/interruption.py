"""Save the state and exit with code 143 on SIGTERM, which clusters send before they stop a job.

On SIGUSR1 in a SLURM job (``sbatch --signal=USR1@120``), do the same and requeue the job.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from mfer_lightning.callbacks.atomic_io import write_checkpoint
from mfer_lightning.files import atomic_path
from mfer_lightning.termination import TERMINATED, receive, say

#: Seconds to wait for the end of a step; after that, the state is saved during the step.
PATIENCE = 5.0

#: File name of the saved state. It can be evaluated. It is not used to resume a run: resuming is exact only from the
#: end of an epoch.
NAME = "interrupted.ckpt"


class Interruption(Callback):
    """On SIGTERM, save the state at the end of the current step, or after :data:`PATIENCE`, and exit with code 143.

    This replaces Lightning's handler while the loops run. Lightning broadcasts from within the signal handler, where
    another collective operation may be in progress, and exits with code 0 or 1. Here, the other ranks wait for the
    first rank, which stops them.

    Lightning's requeueing on SIGUSR1 is not used (``SLURMEnvironment(auto_requeue=False)``): it saves with a collective
    operation from within the signal handler, and resumes in the middle of an epoch.

    Args:
        folder: checkpoint folder of the run.
        requeue: function that requeues the SLURM job and returns whether it succeeded; None: do not handle SIGUSR1.
    """

    def __init__(self, folder: str | Path, requeue: Callable[[], bool] | None = None) -> None:
        self.path = Path(folder) / NAME
        self.requeue = requeue
        self._process = os.getpid()
        self.received: int | None = None
        self._trainer: L.Trainer | None = None
        self._training = False
        self._stepped = False

    def listen(self) -> None:
        """Install the signal handlers. This has no effect outside the main thread."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
            if self.requeue is not None:
                signal.signal(signal.SIGUSR1, self._on_signal)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Replace Lightning's handler."""
        self._training = True
        self.on_predict_start(trainer, pl_module)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Replace Lightning's handler."""
        self._trainer = trainer
        self.listen()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Exit if the signal has arrived."""
        self._stepped = True
        self._leave_if_asked()

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """Exit if the signal has arrived."""
        self._leave_if_asked()

    def on_train_end(self, *_: Any) -> None:
        """Exit if the signal has arrived. By now, the checkpoints of the run are written."""
        self._leave_if_asked()
        self._training = False

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """After a signal, treat an exception as a consequence of the signal.

        Other processes may have received the signal as well, and their exit causes exceptions in this one. The first
        rank then saves the state, and the other ranks exit.
        """
        if self.received is None:
            return
        if not trainer.is_global_zero:
            os._exit(TERMINATED)
        if self._training and not isinstance(exception, SystemExit):
            self._save()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked process, which has inherited the handler and receives the signal from SLURM as well
        self.received = signum
        receive()
        if not self._training:
            self._say("")
            self._end()
        first = self._trainer is None or self._trainer.is_global_zero
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE if first else 2 * PATIENCE)
        if first and not self._stepped:  # there is nothing to save, and the first step may compile for minutes
            self._leave_if_asked()

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:
        if self._trainer is not None and not self._trainer.is_global_zero:
            os._exit(TERMINATED)  # the first rank has exited, and a collective operation may be waiting for it
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        if self.received is None or self._trainer is None or not self._trainer.is_global_zero:
            return
        if self._training:
            self._save()
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)  # try again later if a destructor swallows the exception
        self._end()

    def _save(self) -> None:
        """Save the state if at least one step is done, and print where."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._training = False  # a second signal exits immediately
        if self._trainer is None or not self._stepped:
            self._say("")
            return
        checkpoint = self._trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        with atomic_path(self.path) as path:
            write_checkpoint(checkpoint, path)
        self._say(f" The state is saved in {self.path}.")

    def _say(self, where: str) -> None:
        if self._trainer is None or self._trainer.is_global_zero:
            words = f"Stopped by {signal.Signals(self.received or signal.SIGTERM).name}.{where} "
            if self.received == signal.SIGUSR1 and self.requeue is not None and self.requeue():
                words += "The job was requeued and will continue from the last complete epoch, if there is one."
            elif self._trainer is not None and self._trainer.current_epoch == 0:
                words += "The same command starts the run again, because no epoch is complete yet."
            else:
                words += "The same command continues from the last complete epoch."
            say(words)

    def _end(self) -> None:
        launcher = None if self._trainer is None else self._trainer.strategy.launcher
        if launcher is not None:
            launcher.kill(signal.SIGKILL)  # the ranks that this process started
        raise SystemExit(TERMINATED)
