"""PyTorch dataset that returns batches of a split; augmentation depends on (seed, epoch, row), not on the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mfer_lightning.data.images.cache import CacheFile, announce, build_cache, different_size
from mfer_lightning.data.images.decode import has_no_colour
from mfer_lightning.data.images.sources import ImageSource
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.seeding import STREAM_TARGET, uniforms
from mfer_lightning.data.splits import Split

Key = int | tuple[int, int]

#: A function from a batch of images (B,H,W,3) uint8, the seed, (B,) epochs and (B,) rows to images (B,H,W,3) uint8,
#: such as an augmentation or a corruption of the robustness suite.
Change = Callable[[NDArray[np.uint8], int, NDArray[np.int64], NDArray[np.int64]], NDArray[np.uint8]]


class ImageStore:
    """Images of the faces of an index, by row, from the cache or directly from the source.

    Partitions are opened separately (:meth:`open`), so that an evaluation never decodes the training images.

    Args:
        index: the faces.
        source: source of the images.
        cache_dir: the cache folder; None: no cache, images are decoded at every fetch.
    """

    def __init__(self, index: FaceIndex, source: ImageSource, cache_dir: Path | None) -> None:
        self.dataset = index.dataset
        self.source = source
        self.cache_dir = cache_dir
        self.shape: tuple[int, ...] | None = None
        self._names, self._partition = np.unique(index.partition, return_inverse=True)
        self._position = np.zeros(len(index), dtype=np.int64)
        self._opened: dict[int, CacheFile] = {}
        self._first = 0

    def open(self, partition: str) -> None:
        """Prepare the images of a partition, building their cache if it is missing.

        Raises:
            UserError: as for :func:`build_cache`, or if the image size differs from that of a partition opened before.
        """
        for number in np.flatnonzero(self._names == partition).tolist():
            rows = np.flatnonzero(self._partition == number)
            if self.cache_dir is None:
                self._check(int(rows[0]), self.source.read(int(rows[0])).shape)
            elif number not in self._opened:
                cache = CacheFile(
                    build_cache(self.source, rows, self.cache_dir, f"{self.dataset}-{partition}", announce=announce)
                )
                self._check(int(rows[0]), cache.images.shape[1:])
                self._position[rows] = np.arange(len(rows))
                self._opened[number] = cache

    def fetch(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images of opened partitions.

        Args:
            rows: (n,) rows of the index.

        Returns:
            A new array (n,H,W,3) uint8, RGB.

        Raises:
            UserError: if there is no cache, and an image cannot be read or differs in size from the first one.
        """
        if self.cache_dir is None:
            images = []
            for row in rows.tolist():
                images.append(self.source.read(row))
                self._check(row, images[-1].shape)
            return np.stack(images)
        number = self._partition[rows]
        found = np.unique(number).tolist()
        if len(found) == 1:
            return np.asarray(self._opened[found[0]].images[self._position[rows]])
        out = np.empty((len(rows), *(self.shape or ())), dtype=np.uint8)
        for part in found:
            mine = number == part
            out[mine] = self._opened[part].images[self._position[rows[mine]]]
        return out

    def _check(self, row: int, shape: tuple[int, ...]) -> None:
        if self.shape is None:
            self.shape, self._first = tuple(shape), row
        elif tuple(shape) != self.shape:
            raise different_size(self.source, row, shape, self._first, self.shape)


class FaceDataset(Dataset[dict[str, Tensor]]):
    """Faces of a split.

    A key is ``(epoch, position in the split)``, as yielded by the samplers, or a position in epoch 0. Negative
    positions are padding: such an item has ``index`` -1, and the image and label of position 0. All random numbers are
    functions of (seed, epoch, row of the index).

    Args:
        store: images by row, with the partitions of the split opened.
        split: rows, labels and targets.
        augment: function applied to the images; None: no augmentation.
        seed: random seed of augmentation and sampled targets.
        draw_target: sample a class from the target distribution whenever a face is loaded (rule ``probability``); label
            and one-hot target are those of the sampled class.
        affect: (N,2) float32 valence and arousal of all rows of the index, NaN if unknown; None if the dataset has
            none.
    """

    def __init__(
        self,
        store: ImageStore,
        split: Split,
        augment: Change | None = None,
        seed: int = 0,
        draw_target: bool = False,
        affect: NDArray[np.float32] | None = None,
    ) -> None:
        self.store = store
        self.split = split
        self.augment = augment
        self.seed = seed
        self.draw_target = draw_target
        self.affect = affect
        self.class_names: tuple[str, ...] = ()  # set by the datamodule, for code that has only its loader

    def __len__(self) -> int:
        return len(self.split)

    def is_grey(self) -> bool:
        """Whether the images are greyscale, judged from at most 64 of them. Their partition must have been opened."""
        rows = self.split.rows
        return has_no_colour(self.store.fetch(rows[:: -(-len(rows) // 64)]))

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        """Return one face: ``image`` uint8 (3,H,W), ``label`` and ``index`` int64 (), ``target`` float32 (K,)."""
        return {name: column[0] for name, column in self.__getitems__([key]).items()}

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Tensor]:
        """Return a batch of faces, fetched and augmented together.

        Args:
            keys: B positions or (epoch, position) pairs.

        Returns:
            ``image`` uint8 (B,3,H,W), ``label`` int64 (B,), ``target`` float32 (B,K), ``index`` int64 (B,), and if the
            dataset has them, ``valence_arousal`` float32 (B,2), NaN if unknown.

        Raises:
            IndexError: if a position is too large.
        """
        pairs = np.asarray([(0, key) if isinstance(key, (int, np.integer)) else key for key in keys], dtype=np.int64)
        epoch, position = pairs[:, 0], pairs[:, 1]
        if len(position) and position.max() >= len(self):
            raise IndexError(f"Expected positions below {len(self)}, but got {position.max()}.")
        padding = position < 0
        position = np.where(padding, 0, position)
        rows = self.split.rows[position]
        images = self.store.fetch(rows)
        if self.augment is not None:
            images = self.augment(images, self.seed, epoch, rows)
        label, target = self.split.label[position], self.split.target[position]
        if self.draw_target:
            label, target = draw(target, uniforms(self.seed, epoch, rows, STREAM_TARGET))
        affect = {} if self.affect is None else {"valence_arousal": torch.from_numpy(self.affect[rows])}
        return {
            # A (B,3,H,W) view of (B,H,W,3) memory is in channels_last format, without a copy.
            "image": torch.from_numpy(images).permute(0, 3, 1, 2),
            "label": torch.from_numpy(label),
            "target": torch.from_numpy(target),
            "index": torch.from_numpy(np.where(padding, -1, rows)),
            **affect,
        }


def draw(target: NDArray[np.float32], uniform: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Sample one class from each distribution.

    Args:
        target: (B,K) distributions.
        uniform: (B,) uniform random numbers in [0, 1).

    Returns:
        (B,) classes and their (B,K) one-hot targets.

    Example:
        >>> draw(np.array([[0.25, 0.75], [0.25, 0.75]], dtype=np.float32), np.array([0.2, 0.3]))[0].tolist()
        [0, 1]
    """
    edges = np.cumsum(target, axis=1, dtype=np.float64)
    label = (uniform[:, None] * edges[:, -1:] >= edges).sum(axis=1).astype(np.int64)
    return label, np.eye(target.shape[1], dtype=np.float32)[label]


def as_is(batch: Any) -> Any:
    """Return a batch unchanged.

    This is the ``collate_fn``, because the dataset returns complete batches. It is a named function so that it can be
    pickled for spawned workers.
    """
    return batch
