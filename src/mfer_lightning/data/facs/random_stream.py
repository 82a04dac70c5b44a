"""Streams of random numbers addressed by (seed, purpose, place), the same in every process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_MASK = (1 << 64) - 1


def generator(seed: int, purpose: int, place: int) -> np.random.Generator:
    """Open the counter-based Philox generator of one (seed, purpose, place).

    The seed and the purpose are the two words of the key and the place is the high word of the counter, so that no two
    streams overlap and none depends on how many numbers another one has given.

    Args:
        seed: seed of the dataset, in [0, 2**64).
        purpose: what the numbers are for, in [0, 2**64).
        place: which face or person, in [0, 2**63).

    Example:
        >>> bool(generator(1, 2, 3).random() == generator(1, 2, 3).random())
        True
        >>> bool(generator(1, 2, 3).random() == generator(1, 2, 4).random())
        False
    """
    key = (seed & _MASK) | ((purpose & _MASK) << 64)
    return np.random.Generator(np.random.Philox(key=key, counter=place << 192))


class Stream:
    """Cheap scalar draws from one named stream.

    NumPy's scalar calls cost about a microsecond each; a face needs some two hundred. The stream therefore draws
    uniform numbers in blocks and serves them as Python floats.

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
        """One number in [0, 1)."""
        if not self._block:
            self._block = self.rng.random(self._BLOCK).tolist()[::-1]
        return self._block.pop()

    def uniform(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return low + (high - low) * self.random()

    def normal(self, limit: float = 2.0) -> float:
        """A standard normal number, clipped to [-limit, limit]."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.random()))
        return max(-limit, min(limit, radius * math.cos(2.0 * math.pi * self.random())))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random() < probability

    def pick(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, by their weights (any positive sum) or evenly."""
        if weights is None:
            return options[int(self.random() * len(options))]
        place = self.random() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            place -= weight
            if place < 0:
                return option
        return options[-1]
