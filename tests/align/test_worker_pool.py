"""Several processes give the same results as one, in order, and a lost process gives one message."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import pytest

from mfer_lightning.align.worker_pool import map_in_processes
from mfer_lightning.errors import UserError


def adder(amount: int) -> Callable[[int], int]:
    return partial(_add, amount)


def _add(amount: int, item: int) -> int:
    if item < 0:
        os._exit(1)
    return item + amount


@pytest.mark.parametrize("chunk", [1, 4])
def test_results_match_one_process_in_order(chunk: int) -> None:
    items = list(range(23))
    alone = list(map_in_processes(partial(adder, 2), items, 0))
    assert alone == [item + 2 for item in items]
    assert list(map_in_processes(partial(adder, 2), items, 2, chunk=chunk, waiting=2)) == alone


def test_lost_process_raises_one_clear_error() -> None:
    with pytest.raises(UserError, match="A worker process died"):
        list(map_in_processes(partial(adder, 2), [1, -1, 2], 2, chunk=1))
