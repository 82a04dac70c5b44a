"""Delete uploads from the temporary folder of the web server.

The server writes an uploaded file before our code is called, so it gets a private folder. Each file is deleted as soon
as it has been read. Files that are never read (an interrupted upload, a closed browser) are deleted after two minutes.
The folder is deleted when the process ends. If the process is killed, the next ``mfer demo`` deletes the folder.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = "mfer-demo-"

#: Maximum size of an upload in bytes.
MOST_BYTES = 32 * 1024 * 1024

#: Seconds after which an unread upload is deleted, and seconds between two checks.
PATIENCE, LOOK = 120.0, 15.0


def private_folder() -> Path:
    """Create a folder for uploads that is deleted when this process ends, and delete the folders of killed processes.

    Returns:
        A new folder with mode 0700.
    """
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_orphan(old):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def forget(file: str | Path, folder: Path) -> None:
    """Delete an upload and the folders that the server created for it, but never files outside of ``folder``."""
    path = Path(file)
    if not path.resolve().is_relative_to(folder.resolve()):
        return
    path.unlink(missing_ok=True)
    with suppress(OSError):  # a folder that is not empty, or already deleted
        for parent in path.parents:
            if parent == folder:
                break
            parent.rmdir()


def sweep(folder: Path, patience: float = PATIENCE) -> None:
    """Delete files that were last modified more than ``patience`` seconds ago, and empty folders of that age.

    Files with a modification time that far in the future are deleted as well: the clock was set back, so their age is
    unknown.
    """
    now = time.time()
    for path in sorted(folder.rglob("*"), reverse=True):  # files before their folders
        with suppress(OSError):  # already deleted, or a folder that is not empty
            if abs(now - path.lstat().st_mtime) > patience:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def keep_swept(folder: Path, patience: float = PATIENCE, look: float = LOOK) -> threading.Thread:
    """Call :func:`sweep` every ``look`` seconds in a thread, until the folder is deleted or the process ends."""

    def work() -> None:
        while folder.is_dir():
            with suppress(FileNotFoundError):  # deleted at this moment
                sweep(folder, patience)
            time.sleep(look)

    thread = threading.Thread(target=work, name="mfer-demo-sweep", daemon=True)
    thread.start()
    return thread


def _is_orphan(folder: Path) -> bool:
    """Whether the process whose ID is in the name of a folder has ended; False for folders of other users."""
    pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
    if not pid.isdigit() or folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
