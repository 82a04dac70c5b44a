"""Lock a run's folder, so that one process at a time writes into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mfer_lightning.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: no lock, as before
    fcntl = None  # type: ignore[assignment]


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder for the duration of a block. The lock ends with the process, however that ends.

    Args:
        run_dir: the run's folder, which exists.

    Raises:
        UserError: if another process holds it.
    """
    path = run_dir / ".lock"
    with _locked(path, run_dir) as file:
        file.seek(0)
        file.truncate()
        file.write(f"pid {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, run_dir: Path) -> TextIO:
    """Open and lock the file that stands under this name: the one opened may have been deleted before it was locked."""
    while True:
        file = path.open("a+")
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                with file:
                    file.seek(0)
                    raise UserError(
                        f"{run_dir} is in use by another process ({file.read().strip() or 'pid unknown'}). "
                        "Wait for it, stop it, or start a fresh run beside it with resume=never."
                    ) from error
        if fcntl is None or (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
            return file
        file.close()
