"""Time functions in turn, so that comparisons are valid on a machine with other load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One measurement: wall-clock seconds, and seconds of processor time over all threads of this process."""

    wall: float
    cpu: float


def once(work: Callable[[], object], calls: int = 1, synchronise: Callable[[], None] = lambda: None) -> Sample:
    """Make one measurement.

    Args:
        work: the function to time.
        calls: number of consecutive calls.
        synchronise: waits until the device has finished its work.

    Returns:
        The mean time of a call.
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
    """Time several functions in turn (A, B, A, B, ...), so that all are measured under the same load.

    Args:
        works: name -> function to time; each is called once beforehand to warm up.
        repeats: number of measurements of each function.
        calls: calls per measurement; the mean is recorded.
        synchronise: waits until the device has finished its work.

    Returns:
        Name -> measurements, in order.

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
    """Return the median of the wall-clock times, and the median of the processor times."""
    return Sample(*np.median(samples, axis=0).tolist())


def rates(samples: Mapping[str, Sequence[Sample]], amount: float, digits: int = 1) -> dict[str, float]:
    """Divide an amount by the median wall-clock seconds of each variant, rounded to ``digits`` decimal places.

    Example:
        >>> rates({"ours": [Sample(2.0, 4.0)]}, amount=64)
        {'ours': 32.0}
    """
    return {name: round(amount / median(found).wall, digits) for name, found in samples.items()}


def speedup(baseline: Sequence[Sample], ours: Sequence[Sample]) -> Sample:
    """Return the speed-up in wall-clock and in processor time: the median ratio over the repeats.

    Example:
        >>> speedup([Sample(2.0, 4.0), Sample(4.0, 4.0)], [Sample(1.0, 2.0), Sample(2.0, 2.0)])
        Sample(wall=2.0, cpu=2.0)
    """
    return Sample(*np.median(np.array(baseline) / np.maximum(ours, 1e-12), axis=0).tolist())
