"""Lock a run's folder, so that only one process at a time writes to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from mfer_lightning.errors import UserError
from mfer_lightning.files import write_error

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run's folder within a block. The lock is released even if the process is killed.

    Args:
        run_dir: the run's folder, which must exist.

    Raises:
        UserError: if another process holds the lock, or the folder cannot be written to.
    """
    path = run_dir / ".lock"
    with _locked(path, run_dir) as file:
        try:
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"pid {os.getpid()}".encode())
        except OSError as error:
            with suppress(OSError):
                path.unlink()
            raise write_error(f"write {path}", error) from error
        try:
            yield
        finally:
            with suppress(OSError):  # already deleted, or a read-only disk; closing the file releases the lock
                path.unlink()


def _locked(path: Path, run_dir: Path) -> TextIO:
    """Open and lock the file at a path; repeat this if the opened file was deleted before it was locked."""
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise write_error(f"write {path}", error) from error
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                with file:
                    file.seek(0)
                    raise UserError(
                        f"{run_dir} is in use by another process ({file.read().strip() or 'pid unknown'}). "
                        "Wait for it, stop it, or use another folder: resume=never for mfer train, output=<folder> for "
                        "mfer predict."
                    ) from error
        if fcntl is None or (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
            return file
        file.close()
