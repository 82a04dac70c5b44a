"""End a helper process if its parent has died; otherwise it would wait for work forever."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Watch the parent of this process from a thread, and exit as soon as it has died.

    This works in processes started by ``multiprocessing`` or ``concurrent.futures``; elsewhere it has no effect. A
    killed parent cannot notify its workers, and the pipe that they wait on stays open because they hold both ends.
    """
    threading.Thread(target=_wait, name="mfer-parent", daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
