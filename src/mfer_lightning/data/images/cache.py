"""The packed image cache: every image decoded once, as uint8 in one memory-mapped file a partition.

Decoding and resizing cost more than everything else that a loader does. A cache file holds (n,H,W,3) uint8 in the plain
``.npy`` format, is shared by all workers, ranks and runs through the page cache, and is named by a hash of what it was
made of, so that changed images or another size never meet an old cache.

Safety: a file is built under a temporary name with its whole length reserved on disk first, flushed, and then renamed,
so that what bears the final name is whole. One process builds while the others wait for its lock; the lock of a killed
builder falls, and the next one clears up what it left.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from mfer_lightning.data.images.decode import ImageSource
from mfer_lightning.data.images.fill import fill
from mfer_lightning.errors import UserError

log = logging.getLogger(__name__)

#: Disk space to leave free.
RESERVE_BYTES = 64 * 2**20

_thread_lock = threading.Lock()
_WAY_OUT = "Free some space, choose another folder with paths.cache=<folder> (or MFER_CACHE), or say cache=none."


def default_cache_dir() -> Path:
    """Return the cache folder: the environment's ``MFER_CACHE``, else ``~/.cache/mfer_lightning``."""
    return Path(os.environ.get("MFER_CACHE") or "~/.cache/mfer_lightning").expanduser()


def packed(
    source: ImageSource,
    rows: NDArray[np.int64],
    folder: Path,
    label: str,
    workers: int | None = None,
    announce: Callable[[str], None] = log.info,
) -> Path:
    """Return the cache file of some rows of a source, building it where it is missing.

    Args:
        source: where the images come from.
        rows: (n,) the rows to pack, in this order.
        folder: the cache folder; made where it is missing.
        label: beginning of the file's name, for people.
        workers: processes that decode; None: one a CPU this process may use.
        announce: told, before anything is built, how large the cache will be and where it goes.

    Returns:
        A ``.npy`` file of (n,H,W,3) uint8.

    Raises:
        UserError: where an image cannot be read, images differ in size, or the folder or disk cannot take the cache.
    """
    if len(rows) == 0:
        raise ValueError("Expected argument `rows` to name at least one row, but got none.")
    target = folder / f"{label}-{source.fingerprint(rows)[:20]}.npy"
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{target.stem}.lock"):
            if not target.exists():  # else another process built it while we waited
                for stale in folder.glob(f".{target.stem}-*.part"):
                    stale.unlink(missing_ok=True)  # we hold the lock: its builder is dead
                _build(source, rows, target, workers, announce)
    except OSError as error:
        raise UserError(f"Cannot write the image cache {target}: {error.strerror or error}. {_WAY_OUT}") from error
    return target


class Packed:
    """A cache file, opened when first read and anew in each process.

    Args:
        path: a file made by :func:`packed`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images: NDArray[np.uint8] | None = None

    @property
    def images(self) -> NDArray[np.uint8]:
        """(n,H,W,3) uint8, memory-mapped read-only."""
        if self._images is None:
            self._images = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return self._images

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_images": None}  # a pickled memmap would carry all its bytes along


def _build(
    source: ImageSource,
    rows: NDArray[np.int64],
    target: Path,
    workers: int | None,
    announce: Callable[[str], None],
) -> None:
    first = source.read(int(rows[0]))
    shape = (len(rows), *first.shape)
    size = int(np.prod(shape)) + 4096
    announce(
        f"Building the image cache {target}: {len(rows):,} images of {first.shape[1]} x {first.shape[0]} pixels, "
        f"{human(size)}. This happens once."
    )
    free = shutil.disk_usage(target.parent).free
    if free < size + RESERVE_BYTES:
        raise UserError(
            f"The image cache {target} needs {human(size)}, but only {human(free)} are free there. {_WAY_OUT}"
        )
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        images = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with temporary.open("r+b") as file:  # a full disk is an error here, and a crash while writing to a mapping
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        del images
        fill(source, rows, temporary, first.shape, workers)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that falls with the process, among processes and threads."""
    with _thread_lock, path.open("a+b") as file:
        try:
            import fcntl
        except ImportError:  # without locks, builders may do the same work twice; the rename keeps the result whole
            yield
            return
        # Record locks (lockf) and not flock: a forked child must not inherit the lock and keep it when its parent dies.
        told = False
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError):
                if not told:
                    log.info("Waiting for another process that is building %s", path)
                    told = True
                time.sleep(0.05)
        try:
            yield
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)


def human(size: int) -> str:
    """Write a number of bytes for people.

    Example:
        >>> human(3_500_000)
        '3.5 MB'
    """
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
