"""Images by row of an index, from the cache or straight from their source."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.images.cache import Packed, log, packed
from mfer_lightning.data.images.decode import ImageSource
from mfer_lightning.data.images.fill import different_size
from mfer_lightning.data.index import PARTITIONS, FaceIndex


class ImageStore:
    """Batches of images of an index.

    Partitions are opened one by one (:meth:`open`), so that an evaluation never decodes the training images.

    Args:
        index: the faces.
        source: their images.
        cache_dir: the cache folder; None: no cache, every fetch decodes.
        workers: processes that build a cache; None: one a CPU.
        announce: told before a cache is built.
    """

    def __init__(
        self,
        index: FaceIndex,
        source: ImageSource,
        cache_dir: Path | None,
        workers: int | None = None,
        announce: Callable[[str], None] = log.info,
    ) -> None:
        self.dataset = index.dataset
        self.source = source
        self.cache_dir = cache_dir
        self.workers = workers
        self.announce = announce
        self.shape: tuple[int, ...] | None = None
        self._partition = np.searchsorted(np.sort(PARTITIONS), index.partition).astype(np.int8)
        self._names = tuple(np.sort(PARTITIONS).tolist())
        self._position = np.zeros(len(index), dtype=np.int64)
        self._packed: dict[int, Packed] = {}
        self._first: int | None = None

    def open(self, partition: str) -> None:
        """Make the images of a partition ready, building their cache where it is missing.

        Raises:
            UserError: as :func:`~mfer_lightning.data.images.cache.packed`, or where its images have another size than
                those of a partition opened before.
        """
        number = self._names.index(partition)
        rows = np.flatnonzero(self._partition == number)
        if len(rows) == 0 or number in self._packed:
            return
        if self.cache_dir is None:
            self._check(int(rows[0]), self.source.read(int(rows[0])).shape)
            return
        path = packed(
            self.source, rows, self.cache_dir, f"{self.dataset}-{partition}", self.workers, announce=self.announce
        )
        cache = Packed(path)
        self._check(int(rows[0]), cache.images.shape[1:])
        self._position[rows] = np.arange(len(rows))
        self._packed[number] = cache

    def fetch(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of (n,) rows of opened partitions: a new (n,H,W,3) uint8 array.

        Raises:
            UserError: where there is no cache and an image cannot be read or has another size.
        """
        if self.cache_dir is None:
            images = []
            for row in rows.tolist():
                image = self.source.read(row)
                self._check(row, image.shape)
                images.append(image)
            return np.stack(images)
        number = self._partition[rows]
        found = np.unique(number).tolist()
        if len(found) == 1:
            return np.asarray(self._packed[found[0]].images[self._position[rows]])
        out = np.empty((len(rows), *(self.shape or ())), dtype=np.uint8)
        for part in found:
            mine = number == part
            out[mine] = self._packed[part].images[self._position[rows[mine]]]
        return out

    def _check(self, row: int, shape: tuple[int, ...]) -> None:
        if self.shape is None or self._first is None:
            self.shape, self._first = tuple(shape), row
        elif tuple(shape) != self.shape:
            raise different_size(self.source, row, shape, self._first, self.shape)


def announce(message: str) -> None:
    """Tell the user at the terminal: building may take long, and the size on disk is theirs to know beforehand."""
    log.info(message)
    print(message, file=sys.stderr, flush=True)
