"""Labels that a method has changed, by the row of the dataset's table, the same on all ranks and in the checkpoint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import check_count
from mfer_lightning.methods.gather import gather_from_ranks

#: Where the label is as it was read.
UNCHANGED = -1


class LabelsByIndex(nn.Module):
    """Labels in place of those that were read, for the faces whose labels a method has changed.

    Args:
        num_faces: number of rows of the dataset's table, all splits together.

    Attributes:
        changed: int64 (num_faces,), the class, or -1 where the label is as it was read.

    Raises:
        ValueError: where ``num_faces`` is below 1.

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
        """Return targets (B,K) in which those of changed faces are one-hot, as they were changed.

        Args:
            target: (B,K).
            index: int64 (B,), rows of the dataset's table.
        """
        now = self.changed[index]
        hard = F.one_hot(now.clamp(min=0), target.shape[1]).to(target.dtype)
        return torch.where((now != UNCHANGED)[:, None], hard, target)

    def change(self, index: Tensor, label: Tensor) -> None:
        """Remember labels; each rank gives those of its own faces, possibly none.

        Args:
            index: int64 (n,), rows of the dataset's table.
            label: int64 (n,), classes.
        """
        index, label = gather_from_ranks(index, label)
        self.changed[index] = label
