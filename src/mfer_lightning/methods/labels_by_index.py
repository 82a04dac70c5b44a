"""Store the labels that a method has changed, by row of the dataset's table, for all ranks and in checkpoints."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import check_count
from mfer_lightning.methods.gather import gather_from_ranks

#: Marks a label that has not changed.
UNCHANGED = -1


class LabelsByIndex(nn.Module):
    """Labels that replace the original ones, for faces whose labels a method has changed.

    Args:
        num_faces: number of rows in the dataset's table, over all splits.

    Attributes:
        changed: int64 (num_faces,), the new class, or -1 if the label has not changed.

    Raises:
        ValueError: if ``num_faces`` is below 1.

    Example:
        >>> labels = LabelsByIndex(num_faces=4)
        >>> labels.change(torch.tensor([2]), torch.tensor([1]))
        >>> labels.current(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 2])).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    changed: Tensor

    def __init__(self, num_faces: int) -> None:
        super().__init__()
        self.register_buffer("changed", torch.full((check_count("num_faces", num_faces),), UNCHANGED))

    def current(self, target: Tensor, index: Tensor) -> Tensor:
        """Return targets (B,K), with one-hot targets for faces whose label has changed.

        Args:
            target: (B,K).
            index: int64 (B,), rows in the dataset's table.
        """
        now = self.changed[index]
        hard = F.one_hot(now.clamp(min=0), target.shape[1]).to(target.dtype)
        return torch.where((now != UNCHANGED)[:, None], hard, target)

    def change(self, index: Tensor, label: Tensor) -> None:
        """Store new labels; each rank passes the labels of its own faces, possibly none.

        Args:
            index: int64 (n,), rows in the dataset's table.
            label: int64 (n,), new classes.
        """
        index, label = gather_from_ranks(index, label)
        self.changed[index] = label
