"""Filling an array on disk with decoded images, by several processes at once."""

from __future__ import annotations

import multiprocessing
import os
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from mfer_lightning.data.images.decode import ImageSource
from mfer_lightning.errors import UserError

#: Below this many images, starting processes costs more than it saves.
PARALLEL_FROM = 256


def fill(source: ImageSource, rows: NDArray[np.int64], path: Path, shape: tuple[int, ...], workers: int | None) -> None:
    """Decode rows of a source into an ``.npy`` file, in several processes where it pays.

    A process whose parent dies ends by itself; the first error of any process ends all.

    Args:
        source: where the images come from.
        rows: (n,) the rows, in the order of the array.
        path: an existing ``.npy`` file of (n,H,W,3) uint8.
        shape: (H,W,3) of every image.
        workers: how many processes; None: one a CPU this process may use.

    Raises:
        UserError: where an image cannot be read or has another shape, or a process was killed.
    """
    count = available_cpus() if workers is None else workers
    if count <= 1 or len(rows) < PARALLEL_FROM or multiprocessing.current_process().daemon:
        _fill_part(source, rows, path, shape, 0, len(rows))
        return
    # Forking shares the source without pickling it. OpenCV's threads do not survive a fork; a child that then touches
    # the pool waits for ever or crashes: it is taken down here first. There is a process a CPU in any case.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    context: Any = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    edges = np.linspace(0, len(rows), count + 1).astype(int).tolist()
    started: dict[Connection, Any] = {}
    try:
        for start, stop in pairwise(edges):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(
                target=_fill_in_child, args=(source, rows, path, shape, start, stop, os.getpid(), theirs), daemon=True
            )
            process.start()
            theirs.close()
            started[ours] = process
        waiting = set(started)
        while waiting:
            for connection in cast("list[Connection]", wait(waiting)):
                waiting.discard(connection)
                try:
                    error = connection.recv()
                except EOFError:
                    started[connection].join()
                    raise UserError(
                        f"A process that decoded images for the cache was killed (exit code "
                        f"{started[connection].exitcode}). Is the machine out of memory? Run the command again."
                    ) from None
                if error is not None:
                    raise error
    finally:
        for connection, process in started.items():
            process.terminate()
            process.join()
            connection.close()
        cv2.setNumThreads(threads)


def _fill_in_child(
    source: ImageSource,
    rows: NDArray[np.int64],
    path: Path,
    shape: tuple[int, ...],
    start: int,
    stop: int,
    parent: int,
    connection: Connection,
) -> None:
    try:
        _fill_part(source, rows, path, shape, start, stop, parent)
        connection.send(None)
    except Exception as error:
        connection.send(error)


def _fill_part(
    source: ImageSource,
    rows: NDArray[np.int64],
    path: Path,
    shape: tuple[int, ...],
    start: int,
    stop: int,
    parent: int | None = None,
) -> None:
    images = open_memmap(path, mode="r+")
    for position in range(start, stop):
        if parent is not None and os.getppid() != parent:
            os._exit(1)  # the builder was killed: nobody is left to use this
        row = int(rows[position])
        image = source.read(row)
        if image.shape != shape:
            raise different_size(source, row, image.shape, int(rows[0]), shape)
        images[position] = image
    images.flush()


def different_size(
    source: ImageSource, row: int, shape: tuple[int, ...], first: int, expected: tuple[int, ...]
) -> UserError:
    """Return the error for images that were to be stored as they are but differ in size."""
    return UserError(
        f"Images differ in size: {source.name(first)} is {expected[1]} x {expected[0]} pixels, {source.name(row)} is "
        f"{shape[1]} x {shape[0]}. Say dataset.size=<pixels> to store them all at one size."
    )


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
