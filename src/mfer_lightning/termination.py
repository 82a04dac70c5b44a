"""End a process on SIGTERM with one line and exit code 143, even if other errors occur at the same time."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Exit code of a process ended by SIGTERM.
TERMINATED = 128 + signal.SIGTERM

#: Default message.
_WORDS = "Stopped by SIGTERM. The same command continues an unfinished run."
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")

log = logging.getLogger("mfer_lightning")


class _State:
    received = False
    said = False
    blocks = 0


def received() -> bool:
    """Whether SIGTERM has arrived; later failures are then treated as consequences of it."""
    return _State.received


def receive() -> None:
    """Record that SIGTERM has arrived, and send later errors in threads and destructors to the log.

    Other processes of the run may have received the signal as well, and such errors occur when they exit. torch's
    SIGCHLD handler is removed: it would raise an exception at an arbitrary line as soon as a loader worker has died.
    """
    _State.received = True
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    threading.excepthook = lambda args: log.info("after the signal: %r", args.exc_value)
    sys.unraisablehook = lambda args: log.info("after the signal: %r", args.exc_value)


def say(words: str = _WORDS) -> None:
    """Print one line to stderr, on the first rank only; further calls print nothing.

    Args:
        words: the line.
    """
    if not _State.said and all(os.environ.get(name, "0") == "0" for name in _RANKS):
        print(words, file=sys.stderr, flush=True)
    _State.said = True


@contextmanager
def one_line_on_sigterm(*, leave: bool = False) -> Iterator[None]:
    """On SIGTERM, leave the block with ``SystemExit(143)`` and print one line, so that clean-up code runs.

    A handler that replaces this one within the block must call :func:`receive` and :func:`say`. Only the main thread
    of a process can handle signals; in other threads this has no effect.

    Args:
        leave: after a signal, kill child processes and end this process at the end of the block, without joining
            threads or running destructors, which may wait for dead processes or report errors about them.

    Raises:
        SystemExit: with code 143, if SIGTERM has arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            os._exit(TERMINATED)  # a process forked within the block has inherited the handler
        receive()
        say()
        raise SystemExit(TERMINATED)

    kept = (threading.excepthook, sys.unraisablehook, signal.getsignal(signal.SIGCHLD))
    before = signal.signal(signal.SIGTERM, stop)
    _State.blocks += 1
    try:
        yield
    except (Exception, SystemExit) as error:
        if not _State.received:
            raise
        log.info("after the signal: %r", error)
        say()
        if leave:
            _leave()
        raise SystemExit(TERMINATED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        _State.blocks -= 1
        if _State.received and _State.blocks == 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
            threading.excepthook, sys.unraisablehook, child = kept
            signal.signal(signal.SIGCHLD, child)
            _State.received = _State.said = False


def _leave() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(TERMINATED)
