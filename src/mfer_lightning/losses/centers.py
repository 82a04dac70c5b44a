"""Class centres of the center, LGM and DSF losses: parameter, initialisation from data, and distances."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mfer_lightning.errors import check_count, check_number
from mfer_lightning.losses.base import Loss
from mfer_lightning.losses.checks import at_least_float32, check_feature


def squared_distances(feature: Tensor, centers: Tensor, precision: Tensor | None = None) -> Tensor:
    """Compute squared distances ``sum_i precision_ki (f_bi - c_ki)^2`` between features and centres.

    Differences are computed directly: the cheaper ``|f|^2 - 2 f.c + |c|^2`` loses all precision if features are far
    from the origin and close to a centre. The memory for B*K*D values is small, because K is small.

    Args:
        feature: (B,D).
        centers: (K,D).
        precision: (K,D) inverse variances; None: all are 1.

    Returns:
        (B,K), >= 0. Differentiable everywhere (no square root).

    Example:
        >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        tensor([[25.,  1.]])
    """
    squares = (feature.unsqueeze(1) - centers.unsqueeze(0)).square()
    if precision is not None:
        squares = squares * precision
    return squares.sum(dim=-1)


class CenterLossBase(Loss):
    """Base class of feature losses with one learnable centre per class, ``centers`` (K,D).

    The centres are trained by gradient descent like any parameter (so that DistributedDataParallel averages their
    gradients), in a separate parameter group without weight decay (:func:`mfer_lightning.optim.parameter_groups`). They
    are initialised from a normal distribution, or from data with :meth:`init_centers`.

    Args:
        num_classes: K >= 2.
        feature_dim: D >= 1.
        init_std: standard deviation of each coordinate of the initial centres, >= 0.

    Raises:
        ValueError: if an argument is out of range.
    """

    settings: tuple[str, ...] = ("num_classes", "feature_dim")

    def __init__(self, num_classes: int, feature_dim: int, init_std: float) -> None:
        super().__init__()
        self.num_classes = check_count("num_classes", num_classes, 2)
        self.feature_dim = check_count("feature_dim", feature_dim)
        self.centers = nn.Parameter(torch.empty(num_classes, feature_dim))
        self.init_std: float | None = check_number("init_std", init_std, 0.0)
        nn.init.normal_(self.centers, std=init_std)

    @torch.no_grad()
    def init_centers(self, feature: Tensor, target: Tensor) -> None:
        """Set each centre to the mean feature of its class, weighted by the target.

        With a process group, the sums are taken over all ranks, so call this method on every rank, each with its own
        part of the data. A class without any weight keeps its centre.

        Args:
            feature: (N,D) features.
            target: (N,K) distributions.

        Raises:
            ValueError: if the shapes do not match or a feature is not finite.
        """
        check_feature(feature, target, self.num_classes, self.feature_dim)
        feature, target = (t.to(self.centers.device, torch.float64) for t in at_least_float32(feature, target))
        if not bool(torch.isfinite(feature).all()):
            raise ValueError("Expected argument `feature` to be finite, but got NaN or infinity.")
        packed = torch.cat([target.T @ feature, target.sum(dim=0).unsqueeze(1)], dim=1)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(packed)
        total, mass = packed[:, :-1], packed[:, -1:]
        means = (total / mass.clamp_min(torch.finfo(torch.float64).tiny)).to(self.centers.dtype)
        self.centers.copy_(torch.where(mass > 0, means, self.centers))
