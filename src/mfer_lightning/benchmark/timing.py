"""Timing things against one another on a machine that has other work as well."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
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
    warmup: int = 1,
    calls: int = 1,
    synchronise: Callable[[], None] = lambda: None,
) -> dict[str, list[Sample]]:
    """Time several things in turn (A, B, A, B, ...), so that all of them see the same machine.

    Args:
        works: name -> what to time.
        repeats: measurements of each.
        warmup: calls of each beforehand that are not counted.
        calls: in each measurement, which is their mean.
        synchronise: waits until what was asked of a device is done.

    Returns:
        Name -> its measurements, in order.

    Example:
        >>> samples = interleaved({"a": lambda: None, "b": lambda: None}, repeats=3)
        >>> {name: len(found) for name, found in samples.items()}
        {'a': 3, 'b': 3}
    """
    for _ in range(warmup):
        for work in works.values():
            work()
    samples: dict[str, list[Sample]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            samples[name].append(once(work, calls, synchronise))
    return samples


def median(samples: list[Sample]) -> Sample:
    """Median of the wall times, and median of the processor times."""
    return Sample(statistics.median(s.wall for s in samples), statistics.median(s.cpu for s in samples))


def quickest(samples: list[Sample]) -> Sample:
    """Least of the wall times, and least of the processor times: what is left when nobody else disturbs."""
    return Sample(min(s.wall for s in samples), min(s.cpu for s in samples))


def speedup(baseline: list[Sample], ours: list[Sample]) -> Sample:
    """How many times quicker: the median over repeats of the ratio of neighbours in time, by either clock.

    Example:
        >>> speedup([Sample(2.0, 4.0), Sample(4.0, 4.0)], [Sample(1.0, 2.0), Sample(2.0, 2.0)])
        Sample(wall=2.0, cpu=2.0)
    """
    pairs = list(zip(baseline, ours, strict=True))
    return Sample(
        statistics.median(b.wall / max(o.wall, 1e-12) for b, o in pairs),
        statistics.median(b.cpu / max(o.cpu, 1e-12) for b, o in pairs),
    )
