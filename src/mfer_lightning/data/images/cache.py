"""Image cache: each image is decoded once, as uint8, into one memory-mapped file per partition.

Decoding and resizing take longer than everything else that a loader does. A cache file contains (n,H,W,3) uint8 in
``.npy`` format, and all workers, ranks and runs share it through the page cache. Its name contains a hash of its
inputs, so it is no longer used after images or the size have changed.

A file ends with a checksum; if it does not match, the file is rebuilt.

A file is written under a temporary name with its full length reserved on disk, flushed, and then renamed, so a file
with the final name is complete. One process builds the file while the others wait for its lock. If that process dies,
its lock is released, and the next process removes the partial file.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from mfer_lightning.data.images.cache_checksum import is_intact, seal
from mfer_lightning.data.images.sources import ImageSource
from mfer_lightning.errors import UserError
from mfer_lightning.files import replacing, write_error
from mfer_lightning.parent_process import end_with_parent
from mfer_lightning.plurals import counted

log = logging.getLogger(__name__)

#: Disk space to keep free, in bytes.
RESERVE_BYTES = 64 * 2**20
#: With fewer images than this, starting processes takes longer than it saves.
PARALLEL_FROM = 256
#: Number of images per task of a decoding process.
CHUNK = 64

_thread_lock = threading.Lock()
_OTHERWISE = (
    "choose another folder with paths.cache=<folder> (or MFER_CACHE), or disable the cache with +dataset.cache=none"
)


def default_cache_dir() -> Path:
    """Return the cache folder: the environment variable ``MFER_CACHE``, or ``~/.cache/mfer_lightning``."""
    return Path(os.environ.get("MFER_CACHE") or "~/.cache/mfer_lightning").expanduser()


def announce(message: str) -> None:
    """Log a message, and print it to stderr."""
    log.info(message)
    print(message, file=sys.stderr, flush=True)


class CacheFile:
    """A cache file, opened on first access in each process.

    Args:
        path: a file written by :func:`build_cache`.
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
        return {"path": self.path, "_images": None}  # a pickled memmap would contain all its data


def build_cache(
    source: ImageSource,
    rows: NDArray[np.int64],
    folder: Path,
    label: str,
    workers: int | None = None,
    announce: Callable[[str], None] = log.info,
) -> Path:
    """Return the cache file for some rows of a source, building it if it is missing.

    Args:
        source: source of the images.
        rows: (n,) the rows to store, in this order.
        folder: the cache folder; created if it is missing.
        label: human-readable first part of the file name.
        workers: number of decoding processes; None: one per CPU that this process may use.
        announce: called before building, with a message about the size and location of the cache.

    Returns:
        A ``.npy`` file of (n,H,W,3) uint8 that ends with its checksum.

    Raises:
        ValueError: if there are no rows.
        UserError: if an image cannot be read, images differ in size, a process was killed, the folder cannot be written
            to, or the disk has too little space.
    """
    if len(rows) == 0:
        raise ValueError("Expected argument `rows` to name at least one row, but got none.")
    target = folder / f"{label}-{source.fingerprint(rows)[:20]}.npy"
    try:
        if target.exists() and is_intact(target):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{target.stem}.lock"):
            if target.exists() and not is_intact(target):
                announce(f"The image cache {target} is damaged, or from an earlier version. It will be rebuilt.")
                target.unlink()
            if not target.exists():  # another process may have built it in the meantime
                for stale in folder.glob(f".{target.stem}-*.part"):
                    stale.unlink(missing_ok=True)  # this process holds the lock, so no other process is building
                _build(source, rows, target, workers, announce)
    except OSError as error:
        raise write_error(f"write the image cache {target}", error, _OTHERWISE) from error
    return target


def _build(
    source: ImageSource, rows: NDArray[np.int64], target: Path, workers: int | None, announce: Callable[[str], None]
) -> None:
    first = source.read(int(rows[0]))
    shape = (len(rows), *first.shape)
    size = int(np.prod(shape)) + 4096
    announce(
        f"Building the image cache {target}: {counted(len(rows), 'image')} of {first.shape[1]} x {first.shape[0]} "
        f"pixels, {human(size)}. This happens once."
    )
    free = shutil.disk_usage(target.parent).free
    if free < size + RESERVE_BYTES:
        raise UserError(
            f"The image cache {target} needs {human(size)}, but only {human(free)} of disk space is free. Free some "
            f"space, {_OTHERWISE}."
        )
    with replacing(target, ".part") as temporary:
        open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with temporary.open("r+b") as file:  # reserved: writing to a mapping on a full disk kills the process
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        _fill(source, rows, temporary, available_cpus() if workers is None else workers)
        seal(temporary)


def _fill(source: ImageSource, rows: NDArray[np.int64], path: Path, workers: int) -> None:
    """Decode rows into an ``.npy`` file, in several processes if worthwhile; the first error stops all of them."""
    if workers <= 1 or len(rows) < PARALLEL_FROM or multiprocessing.current_process().daemon:
        _decode(source, rows, open_memmap(path, mode="r+"), 0, len(rows))
        return
    # Forking shares the source without pickling it. OpenCV's threads are stopped first: they do not survive a fork, and
    # a child process that uses them would hang or crash.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_process, initargs=(source, rows, path))
    try:
        starts = range(0, len(rows), CHUNK)
        for _ in pool.map(_decode_chunk, starts, (min(start + CHUNK, len(rows)) for start in starts)):
            pass
    except BrokenProcessPool as error:
        raise UserError(
            "A process that decoded images for the cache was killed (out of memory?). Repeat the same command."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


#: State of a pool process: the source, the rows to decode, and the array that receives the images.
_work: tuple[ImageSource, NDArray[np.int64], NDArray[np.uint8]]


def _start_process(source: ImageSource, rows: NDArray[np.int64], path: Path) -> None:
    global _work
    _work = source, rows, open_memmap(path, mode="r+")
    end_with_parent()


def _decode_chunk(start: int, stop: int) -> None:
    _decode(*_work, start, stop)


def _decode(source: ImageSource, rows: NDArray[np.int64], images: NDArray[np.uint8], start: int, stop: int) -> None:
    for position in range(start, stop):
        row = int(rows[position])
        image = source.read(row)
        if image.shape != images.shape[1:]:
            raise different_size(source, row, image.shape, int(rows[0]), images.shape[1:])
        images[position] = image


def different_size(
    source: ImageSource, row: int, shape: tuple[int, ...], first: int, expected: tuple[int, ...]
) -> UserError:
    """Return the error for images of different sizes that should be stored without resizing."""
    return UserError(
        f"Images differ in size: {source.name(first)} is {expected[1]} x {expected[0]} pixels, {source.name(row)} is "
        f"{shape[1]} x {shape[0]}. Use dataset.size=<pixels> to store them all at one size."
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes and threads; the operating system releases it when the process ends."""
    with _thread_lock, path.open("a+b") as file:
        try:
            import fcntl
        except ImportError:  # without locks, two processes may do the same work, but renaming keeps files complete
            yield
            return
        # Record locks (lockf), not flock: a forked child must not inherit the lock and keep it when its parent dies.
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            log.info("Waiting for another process that is building this image cache, with the lock %s", path)
            fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def human(size: int) -> str:
    """Format a number of bytes with three significant digits and a decimal unit.

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
