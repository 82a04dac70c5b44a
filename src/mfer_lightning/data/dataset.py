"""The PyTorch dataset: faces of a split as batches; augmentation depends on (seed, epoch, row), never on the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mfer_lightning.data.images.cache import ImageStore
from mfer_lightning.data.images.decode import has_no_colour
from mfer_lightning.data.seeding import STREAM_TARGET, uniforms
from mfer_lightning.data.splits import Split

Key = int | tuple[int, int]

#: What is done to a batch of images: (B,H,W,3) uint8, the seed, (B,) epochs and (B,) rows to (B,H,W,3) uint8.
#: An augmentation is one, a corruption of a robustness suite another.
Change = Callable[[NDArray[np.uint8], int, NDArray[np.int64], NDArray[np.int64]], NDArray[np.uint8]]


class FaceDataset(Dataset[dict[str, Tensor]]):
    """Faces of one split.

    A key is a position in the split, or ``(epoch, position)`` as the samplers give them (an int means epoch 0).
    A negative position is padding: the row comes back with ``index`` -1 (its image and label are those of position 0).
    Everything random is a function of (seed, epoch, row of the index).

    Args:
        store: images by row, with the split's partitions opened.
        split: rows, labels and targets.
        augment: what to do to the images; None: nothing.
        seed: of augmentation and drawn targets.
        draw_target: draw one class from each target distribution anew at every visit (the ``probability`` rule); label
            and one-hot target are the drawn class's.
    """

    def __init__(
        self,
        store: ImageStore,
        split: Split,
        augment: Change | None = None,
        seed: int = 0,
        draw_target: bool = False,
    ) -> None:
        self.store = store
        self.split = split
        self.augment = augment
        self.seed = seed
        self.draw_target = draw_target

    def __len__(self) -> int:
        return len(self.split)

    def is_grey(self) -> bool:
        """Whether the images have no colour, by a look at 64 of them; their partition must be open."""
        rows = self.split.rows
        return has_no_colour(self.store.fetch(rows[:: -(-len(rows) // 64)]))

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        """Return one face: ``image`` uint8 (3,H,W), ``label`` and ``index`` int64 (), ``target`` float32 (K,)."""
        return {name: column[0] for name, column in self.__getitems__([key]).items()}

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Tensor]:
        """Return a batch of faces as the batch contract says, fetched and augmented together.

        Args:
            keys: B positions or (epoch, position) pairs.

        Returns:
            ``image`` uint8 (B,3,H,W), ``label`` int64 (B,), ``target`` float32 (B,K), ``index`` int64 (B,).
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
        return {
            # A view: (B,H,W,3) memory seen as (B,3,H,W) is what channels_last means, and nothing is copied.
            "image": torch.from_numpy(images).permute(0, 3, 1, 2),
            "label": torch.from_numpy(label),
            "target": torch.from_numpy(target),
            "index": torch.from_numpy(np.where(padding, -1, rows)),
        }


def draw(target: NDArray[np.float32], uniform: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Draw one class from each distribution.

    Args:
        target: (B,K) distributions.
        uniform: (B,) numbers in [0, 1).

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
    """Collate nothing: the dataset returns whole batches (a function, so that worker processes can be spawned)."""
    return batch
