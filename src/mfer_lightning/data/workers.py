"""Start data loader workers that continue after signals sent to all processes of a run, and explain killed ones."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.seed import pl_worker_init_function

from mfer_lightning.errors import UserError
from mfer_lightning.parent_process import end_with_parent
from mfer_lightning.plurals import counted

#: Seconds that a worker continues after SIGTERM, so that the trainer can finish its step and save.
PATIENCE = 60.0

#: Start of torch's messages about a worker that was killed.
_KILLED = r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal|exited unexpectedly)"


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
            f"loader.num_workers={workers}: each worker is a separate process, and this machine has "
            f"{counted(cores, 'core')}. The value must be at most {most}."
        )


def killed_worker(error: Exception, batch_option: str = "eval_batch_size") -> str | None:
    """Explain the error that torch raises if a worker was killed.

    Args:
        error: any error.
        batch_option: the option of ``loader`` that sets the batch size.

    Returns:
        A sentence; None for any other error.

    Example:
        >>> killed_worker(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")).partition(";")[0]
        'A worker of the loader (process 7) was killed'
        >>> killed_worker(RuntimeError("shape mismatch")) is None
        True
    """
    found = re.match(_KILLED, " ".join(str(error).split())) if isinstance(error, RuntimeError) else None
    if found is None:
        return None
    return (
        f"A worker of the loader (process {found[1]}) was killed; is the machine out of memory? Use fewer workers or a "
        f"smaller batch: loader.num_workers=..., loader.{batch_option}=..."
    )


@contextmanager
def killed_worker_explained() -> Iterator[None]:
    """Convert the error about a killed worker.

    torch raises it in a signal handler, so it can come from any line while a loader is in use.

    Raises:
        UserError: if a worker was killed in the block.
    """
    try:
        yield
    except RuntimeError as error:
        if (words := killed_worker(error)) is None:
            raise
        raise UserError(f"{words} Then repeat the command.") from error


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
    # On macOS and Windows, Python cannot report the sender of a signal, so torch's handlers are kept there. They are
    # also kept if this is not the main thread.
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
