"""End a rank of a distributed run if the first rank, which has started it, dies."""

from __future__ import annotations

import os
import threading
import time
from typing import NoReturn

#: Environment variable with the process id of the first rank, set for the ranks that it starts.
FIRST = "MFER_FIRST_RANK"

#: Exit code of a rank after the first rank has died, and of the first rank if it hangs after another rank has died.
GONE = 2

#: Seconds between two checks.
LOOK = 2.0


def is_further_rank() -> bool:
    """Whether this process is a local rank other than the first, according to Lightning or torchrun.

    Example:
        >>> is_further_rank()
        False
    """
    return os.environ.get("LOCAL_RANK", "0") != "0"


def end_with_first_rank() -> None:
    """Watch the first rank from a thread, and end this process if it dies; no effect in other processes.

    Nothing else would end this rank. Call this before importing torch: on a busy machine, the imports can take longer
    than a minute. Processes started by this rank do not inherit the environment variable, because the first rank is
    not their parent.
    """
    leader = os.environ.pop(FIRST, None)
    if leader is not None and is_further_rank():
        import multiprocessing  # noqa: F401 - not in the thread, which may run while the main thread imports modules

        threading.Thread(target=_watch, args=(int(leader),), name="mfer-first-rank", daemon=True).start()


def _watch(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(LOOK)
    end_process()


def end_process() -> NoReturn:
    """Kill the loader workers of this process, and end it immediately with exit code :data:`GONE`."""
    import multiprocessing

    for child in multiprocessing.active_children():
        child.kill()
    os._exit(GONE)
