"""Affinity loss: pull features towards the centre of their class, relative to the distances between the centres.

Paper: Wen, Lin, Wang, Xu: Distract Your Attention, Biomimetics 8(2), 2023, arXiv 2109.07270. Formula from the paper and
the authors' public code: squared distance divided by the sum of the centres' variances (unbiased, over the classes),
with the centres drawn from a standard normal distribution. This implementation differs in two ways: soft targets weight
the classes; distances are computed directly instead of by expanding the square, and are not clamped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mfer_lightning.errors import check_count
from mfer_lightning.losses.centers import squared_distances
from mfer_lightning.losses.checks import at_least_float32, check_feature, no_autocast
from mfer_lightning.losses.output_loss import OutputLoss


def affinity_loss(feature: Tensor, target: Tensor, centers: Tensor) -> Tensor:
    r"""Compute :math:`\frac1B \sum_b \sum_k t_{bk} |f_b - c_k|^2 / \sum_d \mathrm{var}_k(c_{kd})`.

    Args:
        feature: (B,D).
        target: (B,K) distributions.
        centers: (K,D), K >= 2.

    Returns:
        A scalar, >= 0, unchanged if features and centres are scaled by the same factor. Its magnitude does not depend
        on D.

    Example:
        >>> centers = torch.tensor([[0.0, 0.0], [2.0, 0.0]])  # variances 2 and 0
        >>> affinity_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]]), centers)
        tensor(2.)
    """
    check_feature(feature, target, *centers.shape)
    with no_autocast(feature):
        feature, target, centers = at_least_float32(feature, target, centers)
        distances = (target * squared_distances(feature, centers)).sum(1).mean()
        return distances / centers.var(dim=0).sum()


class AffinityLoss(OutputLoss):
    """Affinity loss of DAN on the pooled feature map before the attention heads.

    The loss is a mean over faces, so that averaged gradients of two ranks equal those of one process with both batches.

    Args:
        num_classes: K >= 2.
        feature_dim: D of the network's output ``pooled``.
        weight: weight in the objective.
    """

    needs: ClassVar[tuple[str, ...]] = ("pooled",)

    def __init__(self, num_classes: int, feature_dim: int, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.num_classes = check_count("num_classes", num_classes, 2)
        self.feature_dim = check_count("feature_dim", feature_dim)
        self.centers = nn.Parameter(torch.randn(num_classes, feature_dim))

    def forward(self, output: Mapping[str, Any], target: Tensor) -> Tensor:
        """Compute the loss of ``output["pooled"]`` (B,D) for target distributions (B,K)."""
        return affinity_loss(output["pooled"], target, self.centers)
