"""The processes that read faces, and a signal that is meant for the one that trains."""

from __future__ import annotations

import signal
from types import FrameType

#: Seconds that a reading process goes on after SIGTERM: enough for the trainer to end its step, save, and end it.
PATIENCE = 30.0


def outlast_sigterm(worker: int) -> None:
    """Go on for :data:`PATIENCE` seconds when told to stop; a DataLoader's ``worker_init_fn``.

    ``timeout``, SLURM and systemd send SIGTERM to all processes of a run at once. torch's workers would die of it, and
    the trainer of their death, before it could save its state. It ends them itself when it is done; where it is gone,
    torch's watchdog does within seconds.

    Args:
        worker: its number, which does not matter: everything random is a function of the face.
    """
    if hasattr(signal, "SIGALRM"):  # not on Windows
        signal.signal(signal.SIGTERM, _end_later)


def _end_later(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
