"""End a process on SIGTERM with one line and exit code 143, whatever dies or fails beside it."""

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

#: Exit code of a process that SIGTERM has ended.
TERMINATED = 128 + signal.SIGTERM

#: What the first line says where nobody knows better.
_WORDS = "Stopped by SIGTERM. The same command continues an unfinished run."
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")

log = logging.getLogger("mfer_lightning")


class _State:
    received = False
    said = False
    blocks = 0


def received() -> bool:
    """Whether the signal has come, so that what fails from now on is a consequence of it."""
    return _State.received


def receive() -> None:
    """Note that the signal has come, which other processes of the run may have had as well.

    Whatever their deaths raise here, in threads and destructors too, goes to the log: torch's own handler would raise
    where a loader's worker has died, at any line.
    """
    _State.received = True
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    threading.excepthook = lambda args: log.info("after the signal: %r", args.exc_value)
    sys.unraisablehook = lambda args: log.info("after the signal: %r", args.exc_value)


def say(words: str = _WORDS) -> None:
    """Print the one line, on the first rank and once."""
    if not _State.said and all(os.environ.get(name, "0") == "0" for name in _RANKS):
        print(words, file=sys.stderr, flush=True)
    _State.said = True


@contextmanager
def one_line_on_sigterm(*, leave: bool = False) -> Iterator[None]:
    """End a block on SIGTERM with ``SystemExit(143)`` and one line, so that it is left in an orderly way.

    A handler that takes this one's place within the block calls :func:`receive` and :func:`say`. Only the main thread
    of a process can handle signals; elsewhere nothing is done.

    Args:
        leave: end the process at the end of the block, without the ends of threads and destructors, which may wait for
            what is dead, or complain of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            os._exit(TERMINATED)  # a process that was forked since has inherited the handler
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
