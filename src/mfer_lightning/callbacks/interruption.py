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

#: Seconds to wait for the end of a step before the state is saved in the middle of it.
PATIENCE = 5.0

#: File name of the saved state. Resuming does not use it (it starts from the last complete epoch, to be exact), but it
#: can be evaluated.
NAME = "interrupted.ckpt"


class Interruption(Callback):
    """On SIGTERM, save the state at the end of the current step, or after :data:`PATIENCE`, and exit with code 143.

    Lightning's handler broadcasts from within the signal handler, where another collective may be in progress, and
    exits with code 0 or 1; this one replaces it while the loops run. Other ranks wait for the first, which stops them.

    Lightning's requeueing on SIGUSR1 is not used (``SLURMEnvironment(auto_requeue=False)``): it saves with a collective
    from within the signal handler, and resumes in the middle of an epoch.

    Args:
        folder: checkpoint folder of the run.
        requeue: requeues the SLURM job and returns whether that worked; None: ignore SIGUSR1.
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
        """Install the signal handlers. Only possible in the main thread; elsewhere this does nothing."""
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
        """Exit if the signal has arrived; the checkpoints needed later are written."""
        self._leave_if_asked()
        self._training = False

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Exit as requested by the signal if the error is only a consequence of another process receiving it too."""
        if self.received is None:
            return
        if not trainer.is_global_zero:
            os._exit(TERMINATED)
        if self._training and not isinstance(exception, SystemExit):
            self._save()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked process has inherited the handler; SLURM sends the signal to it too
        self.received = signum
        receive()
        if not self._training:
            self._say("")
            self._end()
        first = self._trainer is None or self._trainer.is_global_zero
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE if first else 2 * PATIENCE)
        if first and not self._stepped:  # a compiler may take minutes, and there is nothing to save
            self._leave_if_asked()

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:
        if self._trainer is not None and not self._trainer.is_global_zero:
            os._exit(TERMINATED)  # the first rank is gone, and a collective may be waiting for it
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        if self.received is None or self._trainer is None or not self._trainer.is_global_zero:
            return
        if self._training:
            self._save()
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)  # again, in case the exception is lost in a destructor
        self._end()

    def _save(self) -> None:
        """Save the state, if there is a step to save, and report it."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._training = False  # a second signal exits immediately
        if self._trainer is None or not self._stepped:
            self._say("")
            return
        checkpoint = self._trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        with atomic_path(self.path) as path:
            write_checkpoint(checkpoint, path)
        self._say(f" The state is in {self.path};")

    def _say(self, where: str) -> None:
        if self._trainer is None or self._trainer.is_global_zero:
            words = f"Stopped by {signal.Signals(self.received or signal.SIGTERM).name}.{where} "
            if self.received == signal.SIGUSR1 and self.requeue is not None and self.requeue():
                words += "the job is in the queue again, and goes on from the last whole epoch."
            elif self._trainer is not None and self._trainer.current_epoch == 0:
                words += "the same command begins again: there is no whole epoch yet."
            else:
                words += "the same command goes on from the last whole epoch."
            say(words.replace(". the", ". The"))

    def _end(self) -> None:
        launcher = None if self._trainer is None else self._trainer.strategy.launcher
        if launcher is not None:
            launcher.kill(signal.SIGKILL)  # the ranks that this process started
        raise SystemExit(TERMINATED)
