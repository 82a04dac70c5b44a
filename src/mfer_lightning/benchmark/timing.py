"""Timing things against one another on a machine that has other work as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One measurement: seconds by the clock, and seconds of processor time over all threads of this process."""

    wall: float
    cpu: float


def once(work: Callable[[], object], calls: int = 1, synchronise: Callable[[], None] = lambda: None) -> Sample:
    """Time one call.

    Args:
        work: what to time.
        calls: that many are made one after another, and the mean is returned.
        synchronise: waits until what was asked of a device is done.
    """
    synchronise()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        work()
    synchronise()
    return Sample((time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls)


def interleaved(
    works: Mapping[str, Callable[[], object]],
    repeats: int,
    calls: int = 1,
    synchronise: Callable[[], None] = lambda: None,
) -> dict[str, list[Sample]]:
    """Time several things in turn (A, B, A, B, ...), so that all of them see the same machine.

    Args:
        works: name -> what to time; called once beforehand, which is not counted.
        repeats: measurements of each.
        calls: in each measurement, which is their mean.
        synchronise: waits until what was asked of a device is done.

    Returns:
        Name -> its measurements, in order.

    Example:
        >>> samples = interleaved({"a": lambda: None, "b": lambda: None}, repeats=3)
        >>> {name: len(found) for name, found in samples.items()}
        {'a': 3, 'b': 3}
    """
    for work in works.values():
        work()
    samples: dict[str, list[Sample]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            samples[name].append(once(work, calls, synchronise))
    return samples


def median(samples: Sequence[Sample]) -> Sample:
    """Median of the wall times, and median of the processor times."""
    return Sample(*np.median(samples, axis=0).tolist())


def rates(samples: Mapping[str, Sequence[Sample]], amount: float, digits: int = 1) -> dict[str, float]:
    """Amount a second by the clock, from the median of each.

    Example:
        >>> rates({"ours": [Sample(2.0, 4.0)]}, amount=64)
        {'ours': 32.0}
    """
    return {name: round(amount / median(found).wall, digits) for name, found in samples.items()}


def speedup(baseline: Sequence[Sample], ours: Sequence[Sample]) -> Sample:
    """How many times quicker: the median over repeats of the ratio of neighbours in time, by either clock.

    Example:
        >>> speedup([Sample(2.0, 4.0), Sample(4.0, 4.0)], [Sample(1.0, 2.0), Sample(2.0, 2.0)])
        Sample(wall=2.0, cpu=2.0)
    """
    return Sample(*np.median(np.array(baseline) / np.maximum(ours, 1e-12), axis=0).tolist())
