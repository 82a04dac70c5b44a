"""Distributed samplers whose keys include the epoch.

They yield ``(epoch, position)``: augmentation depends on the epoch, which the dataset in a persistent worker cannot
know otherwise. Lightning calls ``set_epoch`` before each epoch, including after resuming. The order of an epoch depends
only on (seed, epoch). Rank r of W takes every W-th key, so that the batches of all ranks together equal the batch of a
single rank. The classes derive from torch's distributed sampler, because Lightning wraps any other sampler in its own
by default, which counts some faces twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch.distributed
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

from mfer_lightning.data.seeding import STREAM_ORDER, hashes, uniforms

#: Sampling frequency of classes: as in the data, equal, or proportional to the square root of their counts.
SAMPLERS = ("shuffle", "balanced", "sqrt")

Key = tuple[int, int]


def world(num_replicas: int | None = None, rank: int | None = None) -> tuple[int, int]:
    """Return the number of ranks and this rank.

    Args:
        num_replicas: number of ranks; None: that of torch.distributed, or 1.
        rank: this rank; None: that of torch.distributed, or 0.

    Raises:
        ValueError: if the rank is out of range.
    """
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    if num_replicas is None:
        num_replicas = torch.distributed.get_world_size() if running else 1
    if rank is None:
        rank = torch.distributed.get_rank() if running else 0
    if not 0 <= rank < num_replicas:
        raise ValueError(f"Expected argument `rank` within [0, {num_replicas - 1}], but got {rank}.")
    return num_replicas, rank


def class_weights(label: NDArray[np.int64], mode: str) -> NDArray[np.float64]:
    """Return the sampling probability of each face.

    Args:
        label: (N,) classes.
        mode: one of :data:`SAMPLERS`.

    Returns:
        (N,) probabilities that sum to 1.

    Example:
        >>> class_weights(np.array([0, 0, 0, 1]), "balanced").round(3).tolist()
        [0.167, 0.167, 0.167, 0.5]
    """
    counts = np.bincount(label)
    power = {"shuffle": 0.0, "sqrt": 0.5, "balanced": 1.0}[mode]
    weight: NDArray[np.float64] = np.asarray(counts[label] ** -power, dtype=np.float64)
    weight /= weight.sum()
    return weight


class TrainSampler(DistributedSampler[Key]):
    """Yield the training faces in a different order in each epoch.

    ``shuffle`` yields every face once, except for a remainder that cannot be divided among the ranks. ``balanced`` and
    ``sqrt`` draw as many faces as there are, with replacement, so that classes have equal frequency, or a frequency
    proportional to the square root of their counts. Faces are drawn by systematic resampling, so frequencies vary less
    than with independent draws.

    Args:
        label: (N,) classes of the faces.
        mode: one of :data:`SAMPLERS`.
        seed: random seed of the order.
        num_replicas: number of ranks; None: that of torch.distributed.
        rank: this rank; None: that of torch.distributed.

    Raises:
        ValueError: for an unknown mode, or a rank that is out of range.

    Example:
        >>> sampler = TrainSampler(np.zeros(4, dtype=np.int64), seed=1)
        >>> sampler.set_epoch(3)
        >>> sorted(sampler)
        [(3, 0), (3, 1), (3, 2), (3, 3)]
    """

    def __init__(  # does not call DistributedSampler.__init__, which requires the dataset
        self,
        label: NDArray[np.int64],
        mode: Literal["shuffle", "balanced", "sqrt"] = "shuffle",
        seed: int = 0,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        if mode not in SAMPLERS:
            raise ValueError(f"Expected argument `mode` to be one of {SAMPLERS}, but got {mode!r}.")
        self.label = label
        self.mode = mode
        self.seed = seed
        self.epoch = 0
        self.num_replicas, self.rank = world(num_replicas, rank)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.label) // self.num_replicas  # equal on all ranks; a remainder is dropped

    def order(self) -> NDArray[np.int64]:
        """Return the (N,) int64 positions of the current epoch in order, for all ranks."""
        n = len(self.label)
        # Sorting by a hash of the position gives the same permutation with every version of NumPy.
        positions = np.argsort(hashes(self.seed, self.epoch, np.arange(n), STREAM_ORDER), kind="stable")
        if self.mode == "shuffle":
            return positions
        edges = np.cumsum(class_weights(self.label[positions], self.mode))
        offset = uniforms(self.seed, self.epoch, -1, STREAM_ORDER)[0]
        drawn = positions[np.searchsorted(edges, (np.arange(n) + offset) / n * edges[-1], side="right").clip(max=n - 1)]
        mixed = np.argsort(hashes(self.seed, self.epoch, np.arange(n) + n, STREAM_ORDER), kind="stable")
        return np.asarray(drawn[mixed], dtype=np.int64)

    def __iter__(self) -> Iterator[Key]:
        mine = self.order()[self.rank :: self.num_replicas][: len(self)]
        return ((self.epoch, position) for position in mine.tolist())


class EvalSampler(DistributedSampler[Key]):
    """Yield every face exactly once over all ranks, in order.

    All ranks must yield the same number of keys. If N is not divisible by the number of ranks, the last ranks get
    padding keys: negative positions, for which the dataset returns ``index`` -1, so that metrics ignore them.

    Args:
        size: number of faces N.
        num_replicas: number of ranks; None: that of torch.distributed.
        rank: this rank; None: that of torch.distributed.

    Example:
        >>> [list(EvalSampler(3, num_replicas=2, rank=r)) for r in (0, 1)]
        [[(0, 0), (0, 2)], [(0, 1), (0, -1)]]
    """

    def __init__(self, size: int, num_replicas: int | None = None, rank: int | None = None) -> None:
        self.size = size
        self.epoch = 0
        self.num_replicas, self.rank = world(num_replicas, rank)

    def __len__(self) -> int:
        return -(-self.size // self.num_replicas)

    def __iter__(self) -> Iterator[Key]:
        for turn in range(len(self)):
            position = turn * self.num_replicas + self.rank
            yield (0, position if position < self.size else -1)
