"""Start data loader workers that continue after signals sent to all processes of a run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

from lightning.fabric.utilities.seed import pl_worker_init_function

from mfer_lightning.errors import UserError
from mfer_lightning.parent_process import end_with_parent

#: Seconds that a worker continues after SIGTERM, so that the trainer can finish its step and save.
PATIENCE = 60.0


def check_workers(workers: int) -> None:
    """Reject an unreasonable number of workers.

    Args:
        workers: value of ``loader.num_workers``.

    Raises:
        UserError: if it exceeds both 32 and 8 times the number of cores.
    """
    cores = os.cpu_count() or 1
    most = max(32, 8 * cores)
    if workers > most:
        raise UserError(
            f"loader.num_workers={workers}: each worker is a separate process, and this machine has {cores} cores. "
            f"The value must be at most {most}."
        )


def start_worker(worker: int) -> None:
    """Initialise a worker: the ``worker_init_fn`` of a DataLoader.

    ``timeout``, SLURM and systemd send SIGTERM (or SIGUSR1) to all processes of a run at once. This would kill torch's
    workers, and the trainer would stop before it could save its state. Therefore, these workers continue for
    :data:`PATIENCE` seconds after SIGTERM, unless the trainer stops them, and ignore SIGUSR1. If the trainer has died,
    they end within seconds.

    Global random numbers are seeded as in Lightning, for user-defined augmentations.

    Args:
        worker: index of the worker.
    """
    if os.environ.get("PL_SEED_WORKERS") == "1":  # Lightning adds its own function only if there is none
        pl_worker_init_function(worker)
    # macOS and Windows do not report the sender of a signal, so torch's handlers are kept there. They are also kept if
    # this is not the main thread.
    if hasattr(signal, "sigtimedwait") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        trainer = multiprocessing.parent_process()  # with `forkserver`, this is not the operating system's parent
        number = os.getppid() if trainer is None or trainer.pid is None else trainer.pid
        threading.Thread(target=_outlast_sigterm, args=(number,), daemon=True).start()
    # torch's watchdog does not end a worker whose last batches are never fetched. This comes last, because the thread
    # must be started with SIGTERM blocked.
    end_with_parent()


def _outlast_sigterm(trainer: int) -> None:
    """Wait for SIGTERM in a thread: a signal handler would not run during a C call and does not know the sender."""
    end = None
    while end is None or time.monotonic() < end:
        left = 3600.0 if end is None else max(end - time.monotonic(), 0.0)
        came = signal.sigtimedwait({signal.SIGTERM}, left)
        if came is not None and came.si_pid == trainer:
            os._exit(0)  # like torch's own handler
        if came is not None and end is None:
            end = time.monotonic() + PATIENCE
    os._exit(128 + signal.SIGTERM)
