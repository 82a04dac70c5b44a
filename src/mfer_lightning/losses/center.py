"""Center loss: pull each feature towards the centre of its class.

Paper: Wen, Zhang, Li, Qiao, "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016 (original
code: github.com/ydwen/caffe-face). What differs: the paper updates the centres with a separate rule, ``delta c_k =
sum_{y=k} (c_k - f) / (1 + n_k)`` with rate alpha; here the centres are trained by gradient descent with their own
learning rate, so that distributed training averages their gradients. The loss is divided by the feature width D.
Targets may be soft (each centre is weighted by the target).
"""

from __future__ import annotations

from torch import Tensor

from mfer_lightning.losses.centers import CenterLossBase, squared_distances
from mfer_lightning.losses.checks import at_least_float32, check_feature, no_autocast


def center_loss(feature: Tensor, target: Tensor, centers: Tensor) -> Tensor:
    """Compute the mean of ``1/2 sum_k t_k ||f - c_k||^2 / D``; for a hard label, ``1/2 ||f - c_y||^2 / D``.

    For fixed features, it is minimal if each centre is the target-weighted mean of the features.

    Args:
        feature: (B,D).
        target: (B,K) distributions.
        centers: (K,D).

    Returns:
        Scalar >= 0, float32 or wider.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> import torch
        >>> center_loss(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]), torch.zeros(2, 2))
        tensor(0.5000)
    """
    check_feature(feature, target, *centers.shape)
    with no_autocast(feature):
        feature, target, centers = at_least_float32(feature, target, centers)
        distances = squared_distances(feature, centers) / feature.shape[1]
        return 0.5 * (target * distances).sum(dim=1).mean()


class CenterLoss(CenterLossBase):
    """Center loss (Wen et al., ECCV 2016), divided by the feature width.

    Args:
        num_classes: K >= 2.
        feature_dim: D >= 1.
        init_std: standard deviation of the initial centres; 0 places all centres at the origin.

    Example:
        >>> import torch
        >>> loss = CenterLoss(num_classes=7, feature_dim=64)
        >>> feature = torch.randn(5, 64)
        >>> target = torch.eye(7)[:5]
        >>> loss.init_centers(feature, target)
        >>> loss(feature, target)["total"].item()
        0.0
    """

    def __init__(self, num_classes: int, feature_dim: int, init_std: float = 0.1) -> None:
        super().__init__(num_classes, feature_dim, init_std)

    def forward(self, feature: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return ``{"total"}``, the loss of features (B,D) for target distributions (B,K)."""
        return {"total": center_loss(feature, target, self.centers)}
