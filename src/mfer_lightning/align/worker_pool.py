"""Apply a function to many items in several processes, and return the results in order.

Based on ``concurrent.futures``, with two additions: each process builds its own function once, because detectors cannot
be pickled, and only a few chunks are queued at a time, because results may contain images.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from mfer_lightning.errors import UserError
from mfer_lightning.parent_process import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

_function: Callable[[Any], Any]  # in a worker process


def map_in_processes(
    build: Callable[[], Callable[[Item], Result]],
    items: Sequence[Item],
    workers: int,
    *,
    chunk: int = 4,
    waiting: int = 4,
) -> Iterator[Result]:
    """Apply a function to items, in order.

    Args:
        build: creates the function; called once in each process, so it must be picklable.
        items: items to process.
        workers: number of worker processes; 0 or 1: run in the main process.
        chunk: number of items sent to a process at a time.
        waiting: maximum number of queued chunks per process.

    Yields:
        The result for each item, in order.

    Raises:
        UserError: if a worker process died.
    """
    if workers <= 1:
        yield from map(build(), items)
        return
    context = multiprocessing.get_context("spawn")  # OpenCV's threads do not survive a fork
    sent: deque[Future[list[Result]]] = deque()
    try:
        with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(build,)) as pool:
            for start in range(0, len(items), chunk):
                sent.append(pool.submit(_work, items[start : start + chunk]))
                if len(sent) >= waiting * workers:
                    yield from sent.popleft().result()
            while sent:
                yield from sent.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process died (out of memory?). Finished work is kept. Repeat the same command with fewer workers."
        ) from error


def _start(build: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    end_with_parent()
    cv2.setNumThreads(1)
    _function = build()


def _work(items: Sequence[Any]) -> list[Any]:
    return [_function(item) for item in items]
