"""Random streams addressed by (seed, purpose, place), equal in every process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_MASK = (1 << 64) - 1


def generator(seed: int, purpose: int, place: int) -> np.random.Generator:
    """Create the counter-based Philox generator of a (seed, purpose, place).

    The seed and the purpose form the key and the place is the high word of the counter, so that streams never overlap
    and do not depend on the draws of other streams.

    Args:
        seed: seed of the dataset, in [0, 2**64).
        purpose: number of the purpose, in [0, 2**64).
        place: number of the face or person, in [0, 2**63).

    Example:
        >>> bool(generator(1, 2, 3).random() == generator(1, 2, 3).random())
        True
        >>> bool(generator(1, 2, 3).random() == generator(1, 2, 4).random())
        False
    """
    key = (seed & _MASK) | ((purpose & _MASK) << 64)
    return np.random.Generator(np.random.Philox(key=key, counter=place << 192))


class Stream:
    """Fast scalar draws from one stream.

    NumPy's scalar calls take about a microsecond each, and a face needs about two hundred. The stream therefore draws
    uniform numbers in blocks and returns them as Python floats.

    Args:
        seed: as in :func:`generator`.
        purpose: as in :func:`generator`.
        place: as in :func:`generator`.
    """

    _BLOCK = 64

    def __init__(self, seed: int, purpose: int, place: int) -> None:
        self.rng = generator(seed, purpose, place)
        self._block: list[float] = []

    def random(self) -> float:
        """Draw a number in [0, 1)."""
        if not self._block:
            self._block = self.rng.random(self._BLOCK).tolist()[::-1]
        return self._block.pop()

    def uniform(self, low: float, high: float) -> float:
        """Draw a number in [low, high)."""
        return low + (high - low) * self.random()

    def normal(self, limit: float = 2.0) -> float:
        """Draw a standard normal number, clipped to [-limit, limit]."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.random()))
        return max(-limit, min(limit, radius * math.cos(2.0 * math.pi * self.random())))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.random() < probability

    def pick(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """Pick one of the options, uniformly or by weights (with any positive sum)."""
        if weights is None:
            return options[int(self.random() * len(options))]
        place = self.random() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            place -= weight
            if place < 0:
                return option
        return options[-1]
