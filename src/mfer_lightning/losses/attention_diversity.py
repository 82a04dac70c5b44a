"""Attention loss of DDAMFN: make the attention maps of several heads differ.

Paper: Zhang, Zhang, Zhang, Wang, Song: A Dual-Direction Attention Mixed Feature Network for Facial Expression
Recognition, Electronics 12(17), 2023, doi 10.3390/electronics12173595: the inverse of the mean squared difference over
all pairs of heads. The authors' public code adds it with weight 0.1. In this implementation, the mean is over the faces
of all ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor

from mfer_lightning.losses.checks import at_least_float32, no_autocast
from mfer_lightning.losses.gather import gather_rows
from mfer_lightning.losses.output_loss import OutputLoss


def attention_loss(maps: Tensor, gather: bool = True) -> Tensor:
    r"""Compute :math:`1 / \bar d`, where d is the squared difference between the attention maps of two heads.

    :math:`\bar d` is the mean over pairs of heads, faces, channels and positions.

    Args:
        maps: (B,H,D,h,w), the attention weights of the heads.
        gather: average over the faces of all ranks, if a process group is initialised.

    Returns:
        A scalar, > 0; 0 for one head.

    Example:
        >>> round(float(attention_loss(torch.tensor([0.1, 0.6]).view(1, 2, 1, 1, 1))), 3)
        4.0
    """
    if maps.shape[1] == 1:
        return maps.sum() * 0.0
    with no_autocast(maps):
        (maps,) = at_least_float32(maps)
        pairs = list(combinations(range(maps.shape[1]), 2))
        difference = torch.stack([(maps[:, i] - maps[:, j]).square().flatten(1).mean(1) for i, j in pairs], 1)
        if gather:
            (difference,) = gather_rows(difference)
        # keep the loss finite for equal maps, whose difference is 0
        return 1 / difference.mean().clamp_min(torch.finfo(difference.dtype).eps)


class AttentionLoss(OutputLoss):
    """Attention loss of DDAMFN on the attention maps of the heads.

    Args:
        weight: weight in the objective; the authors' code uses 0.1.
    """

    needs: ClassVar[tuple[str, ...]] = ("attention_maps",)

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__(weight)

    def forward(self, output: Mapping[str, Any], target: Tensor) -> Tensor:
        """Compute the loss of ``output["attention_maps"]``; in evaluation, only from the faces of this rank."""
        return attention_loss(output["attention_maps"], gather=self.training)
