r"""Large-margin Gaussian mixture loss: model each class as a Gaussian, and classify features by their likelihood.

Paper: Wan, Zhong, Li, Chen, "Rethinking Feature Distribution for Loss Functions in Image Classification",
CVPR 2018, arXiv 1803.02988 (original code: github.com/WeitaoVan/L-GM-loss). What differs: as in MFER's comparison, it
is added to the cross-entropy of the heads, so its own logits are not the prediction. It is divided by the feature width
D. Targets may be soft. The learned variances have a floor; without it, a class whose features collapse in one direction
drives ``log|Lambda|``, and with it the loss, to minus infinity.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import check_number
from mfer_lightning.losses.centers import CenterLossBase, squared_distances
from mfer_lightning.losses.checks import at_least_float32, check_choice, check_feature, no_autocast


def lgm_loss(
    feature: Tensor,
    target: Tensor,
    centers: Tensor,
    variance: Tensor | None = None,
    *,
    margin: float = 0.1,
    likelihood_weight: float = 0.1,
) -> dict[str, Tensor]:
    r"""Compute the large-margin Gaussian mixture loss divided by D.

    With ``d_k = 1/2 (f - mu_k)^T Lambda_k^-1 (f - mu_k)`` and ``h_k = 1/2 log|Lambda_k|``::

        classification = -1/(BD) sum_b sum_k t_k log softmax_k(-(1 + margin t_k) d_k - h_k)
        likelihood     =  1/(BD) sum_b sum_k t_k (d_k + h_k)
        total          = classification + likelihood_weight * likelihood

    For a hard label, this is the loss of the paper; a soft target distributes the margin over its classes.

    Args:
        feature: (B,D).
        target: (B,K) distributions.
        centers: (K,D) means mu.
        variance: (K,D) diagonals of Lambda, > 0, or None for the identity.
        margin: alpha >= 0.
        likelihood_weight: lambda >= 0.

    Returns:
        Scalars ``total``, ``classification`` and ``likelihood``. The likelihood may be negative if variances are < 1.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> terms = lgm_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.eye(2), margin=0.0)
        >>> {name: round(value.item(), 4) for name, value in terms.items()}
        {'total': 0.1566, 'classification': 0.1566, 'likelihood': 0.0}
    """
    check_feature(feature, target, *centers.shape)
    width = feature.shape[1]
    with no_autocast(feature):
        feature, target, centers = at_least_float32(feature, target, centers)
        if variance is None:
            distances = 0.5 * squared_distances(feature, centers)
            half_log_det = feature.new_zeros(len(centers))
        else:
            variance = variance.to(feature.dtype)
            distances = 0.5 * squared_distances(feature, centers, variance.reciprocal())
            half_log_det = 0.5 * variance.log().sum(dim=1)
        logits = -(1 + margin * target) * distances - half_log_det
        classification = -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean() / width
        likelihood = (target * (distances + half_log_det)).sum(dim=1).mean() / width
    return {
        "total": classification + likelihood_weight * likelihood,
        "classification": classification,
        "likelihood": likelihood,
    }


class LGMLoss(CenterLossBase):
    """Large-margin Gaussian mixture loss (Wan et al., CVPR 2018), divided by the feature width.

    Args:
        num_classes: K >= 2.
        feature_dim: D >= 1.
        covariance: ``identity``, or ``diagonal`` for learned variances ``floor + exp(log_variance)``, initially 1.
        margin: alpha >= 0; the MFER paper uses 0.1 to 1.
        likelihood_weight: lambda >= 0; the MFER paper uses 0.01 to 0.1.
        variance_floor: minimum variance for ``diagonal``, within (0, 1). It bounds the loss from below by
            ``likelihood_weight / 2 * log(variance_floor)``.
        init_std: standard deviation of the initial centres.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> loss = LGMLoss(num_classes=7, feature_dim=64, covariance="diagonal")
        >>> sorted(loss(torch.randn(5, 64), torch.eye(7)[:5]))
        ['classification', 'likelihood', 'total']
    """

    settings = (*CenterLossBase.settings, "covariance", "margin", "likelihood_weight")
    log_variance: nn.Parameter | None

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        covariance: str = "identity",
        margin: float = 0.1,
        likelihood_weight: float = 0.1,
        variance_floor: float = 1e-2,
        init_std: float = 0.1,
    ) -> None:
        super().__init__(num_classes, feature_dim, init_std)
        self.covariance = check_choice("covariance", covariance, ("identity", "diagonal"))
        self.margin = check_number("margin", margin, 0.0)
        self.likelihood_weight = check_number("likelihood_weight", likelihood_weight, 0.0)
        self.variance_floor = check_number("variance_floor", variance_floor, 0.0, 0.999, excluded="low")
        if covariance == "diagonal":
            start = math.log(1 - self.variance_floor)
            self.log_variance = nn.Parameter(torch.full((num_classes, feature_dim), start))
        else:
            self.register_parameter("log_variance", None)

    @property
    def variance(self) -> Tensor | None:
        """The variances (K,D), at least ``variance_floor``; None for the identity."""
        if self.log_variance is None:
            return None
        # The cap keeps exp finite; a class with a variance beyond e^20 has no effect.
        return self.variance_floor + self.log_variance.clamp(max=20.0).exp()

    def forward(self, feature: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return ``total``, ``classification``, ``likelihood`` for features (B,D) and target distributions (B,K)."""
        with no_autocast(feature):
            variance = self.variance
        return lgm_loss(
            feature, target, self.centers, variance, margin=self.margin, likelihood_weight=self.likelihood_weight
        )
