"""Random numbers that are functions of (seed, epoch, row, stream).

They are the same in every worker, on every rank, in any order and after resuming, because each number is a hash of its
coordinates instead of the output of a generator with a state. Hashing with SplitMix64 (Steele, Lea and Flood, OOPSLA
2014) is vectorised over rows and does not depend on the version of NumPy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Streams, one per purpose, so that no two purposes share random numbers.
STREAM_FLIP, STREAM_AUGMENT, STREAM_TARGET, STREAM_ORDER, STREAM_NOISE, STREAM_CHANGE, STREAM_LAYERS = range(7)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def hashes(
    seed: int, epoch: int | NDArray[np.int64], row: int | NDArray[np.int64], stream: int = 0
) -> NDArray[np.uint64]:
    """Hash coordinates to 64 pseudo-random bits.

    Args:
        seed: random seed of the run.
        epoch: epoch, or one per row, (N,).
        row: rows, (N,).
        stream: purpose of the numbers, one of the ``STREAM_`` constants.

    Returns:
        (N,) uint64.

    Example:
        >>> a, b = hashes(0, 0, np.arange(2)), hashes(0, 0, np.arange(2)[::-1])
        >>> bool((a == b[::-1]).all()), bool(a[0] == a[1])
        (True, False)
    """
    state = np.zeros(np.broadcast_shapes(np.shape(epoch), np.shape(row), (1,)), dtype=np.uint64)
    for part in (seed, stream, epoch, row):
        words = np.atleast_1d(np.asarray(part, dtype=np.int64)).astype(np.uint64)
        with np.errstate(over="ignore"):
            state = _mix((state ^ words) + _GOLDEN)
    return state


def uniforms(
    seed: int, epoch: int | NDArray[np.int64], row: int | NDArray[np.int64], stream: int = 0
) -> NDArray[np.float64]:
    """Return uniform random numbers in [0, 1), (N,) float64, for coordinates as in :func:`hashes`."""
    fractions: NDArray[np.float64] = (hashes(seed, epoch, row, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return fractions


def name_order(names: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return a random order of names that depends only on the names and the seed, not on their given order.

    Args:
        names: N names.
        seed: random seed of the order.

    Returns:
        (N,) int64: the positions of the names in random order.

    Example:
        >>> [["c", "a", "b"][i] for i in name_order(["c", "a", "b"], 0)] == [
        ...     ["a", "b", "c"][i] for i in name_order(["a", "b", "c"], 0)]
        True
    """
    keys = [(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).digest(), name) for name in names]
    return np.asarray(sorted(range(len(names)), key=keys.__getitem__), dtype=np.int64)
