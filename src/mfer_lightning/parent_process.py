"""End a helper process when the process that started it has died: it would wait for work for ever."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Watch the parent of this process from a thread, and exit at once when it has died.

    For processes that ``multiprocessing`` or ``concurrent.futures`` has started. A parent that is killed tells them
    nothing, and the pipe that they wait at stays open because they hold both of its ends.
    """
    threading.Thread(target=_wait, name="mfer-parent", daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
