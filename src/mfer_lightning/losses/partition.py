"""Partition loss: make the features of several attention heads differ.

Paper: Wen, Lin, Wang, Xu: Distract Your Attention, Biomimetics 8(2), 2023, arXiv 2109.07270; formula as in the authors'
public code. Our change: the variance is averaged over the faces of all ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from mfer_lightning.losses.checks import at_least_float32, no_autocast
from mfer_lightning.losses.gather import gather_rows
from mfer_lightning.losses.output_loss import OutputLoss


def partition_loss(attended: Tensor, gather: bool = True) -> Tensor:
    r"""Compute :math:`\log(1 + H / \bar v)`, with the variance v over the H heads averaged over faces and channels.

    Args:
        attended: (B,H,D), the features of the heads.
        gather: average over the faces of all ranks, if a process group is initialised.

    Returns:
        A scalar, >= 0; 0 for one head.

    Example:
        >>> partition_loss(torch.tensor([[[0.0], [2.0]]]))  # variance 2: log(1 + 2 / 2)
        tensor(0.6931)
    """
    heads = attended.shape[1]
    if heads == 1:
        return attended.sum() * 0.0
    with no_autocast(attended):
        (attended,) = at_least_float32(attended)
        variance = attended.var(dim=1).mean(dim=1)
        if gather:
            (variance,) = gather_rows(variance)
        # keep the loss finite for equal heads, whose variance is 0
        return torch.log1p(heads / variance.mean().clamp_min(torch.finfo(variance.dtype).eps))


class PartitionLoss(OutputLoss):
    """Partition loss of DAN (Distract Your Attention Network), from the features of the attention heads.

    Args:
        weight: weight in the objective.
    """

    needs: ClassVar[tuple[str, ...]] = ("attended",)

    def forward(self, output: Mapping[str, Any], target: Tensor) -> Tensor:
        """Compute the loss of ``output["attended"]`` (B,H,D); in evaluation, only from the faces of this rank."""
        return partition_loss(output["attended"], gather=self.training)
