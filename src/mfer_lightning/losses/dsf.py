r"""Deep Smooth Feature loss: **a reconstruction**, because the authors have not published the formula.

Paper: Xu, Li, Yang, He, Luo, MFER, IEEE Transactions on Affective Computing 2024, doi 10.1109/TAFFC.2024.3458464.
What is public: the loss is to "balance the probability difference of encoded intra-class features and promote
intra-class features towards corresponding centers" (abstract). The overview figure shows samples pulled to the centre
of their class and centres pushed apart. In the released code, the file smooth_feature contains only label smoothing and
imports ``torch.autograd.Function``. The training script imports a ``SmoothFunction`` and calls a ``FeatureLoss`` with
the feature width and the number of classes; neither of them is included. A hand-written gradient, as in the original
implementation of the centre loss, is likely but cannot be verified. Everything else here, including formula and
defaults, is this project's interpretation; docs/losses.md derives and evaluates it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import check_number
from mfer_lightning.losses.centers import CenterLossBase, squared_distances
from mfer_lightning.losses.checks import at_least_float32, check_choice, check_feature, no_autocast
from mfer_lightning.losses.classification import smooth

#: Which of the two terms has no gradient for the centres.
DETACH = ("none", "balance", "pull")


def dsf_loss(
    feature: Tensor,
    target: Tensor,
    centers: Tensor,
    *,
    temperature: float = 0.25,
    label_smoothing: float = 0.1,
    pull: float = 0.2,
    margin: float = 0.0,
    detach: str = "none",
) -> dict[str, Tensor]:
    r"""Deep Smooth Feature loss (this project's reconstruction).

    With ``d_k = ||f - c_k||^2 / D``, ``q = (1 - eps) t + eps / K``, ``p = softmax(-(d + margin t) / temperature)``::

        balance  = 1/B sum_b KL(q || p)
        distance = 1/B sum_b sum_k t_k d_k
        total    = balance + pull * distance

    The balance is 0 if and only if every sample of a class is closer to its own centre than to every other centre by
    the same gap, :func:`optimal_gap`; a larger gap is penalised like a smaller one. Both terms are 0 if each feature
    equals its centre and the centres are equidistant with that gap.

    Args:
        feature: (B,D).
        target: (B,K) distributions.
        centers: (K,D).
        temperature: tau > 0, in units of d (for a LayerNormed feature, d is of order 1, whatever D is).
        label_smoothing: eps within [0, 1]; with 0 the gap grows without bound, with 1 q is uniform for every label.
        pull: lambda >= 0, weight of the distance to the centre of the true class.
        margin: >= 0, added to the distance of the target class in p: features must be closer by this amount.
        detach: ``none``; ``balance`` (the balance term has no gradient for the centres, so that they become class
            means); ``pull`` (the distance term has no gradient for the centres, so that only the balance moves them).

    Returns:
        Scalars ``total``, ``balance`` and ``distance``, all >= 0.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> gap = optimal_gap(num_classes=2, temperature=0.25, label_smoothing=0.1)
        >>> centers = torch.tensor([[0.0], [gap**0.5]])
        >>> [round(v.item(), 4) for v in dsf_loss(centers, torch.eye(2), centers).values()]
        [0.0, 0.0, 0.0]
    """
    check_feature(feature, target, *centers.shape)
    with no_autocast(feature):
        feature, target, centers = at_least_float32(feature, target, centers)
        if detach == "none":
            push_distances = pull_distances = squared_distances(feature, centers) / feature.shape[1]
        else:
            attached = squared_distances(feature, centers) / feature.shape[1]
            detached = squared_distances(feature, centers.detach()) / feature.shape[1]
            push_distances, pull_distances = (detached, attached) if detach == "balance" else (attached, detached)
        smoothed = smooth(target, label_smoothing)
        log_p = F.log_softmax(-(push_distances + margin * target) / temperature, dim=1)
        # xlogy: 0 log 0 = 0, for hard targets without smoothing.
        balance = (torch.xlogy(smoothed, smoothed) - smoothed * log_p).sum(dim=1).mean()
        distance = (target * pull_distances).sum(dim=1).mean()
    return {"total": balance + pull * distance, "balance": balance, "distance": distance}


def optimal_gap(num_classes: int, temperature: float, label_smoothing: float, margin: float = 0.0) -> float:
    """Return the gap ``d_k - d_y`` (in units of d) at which the balance is 0 for a hard label y.

    It is infinite without label smoothing.

    ``temperature * log(q_y / q_k) + margin``, with ``q_y = 1 - eps + eps / K`` and ``q_k = eps / K``.

    Example:
        >>> round(optimal_gap(num_classes=7, temperature=0.25, label_smoothing=0.1), 3)
        1.04
    """
    if label_smoothing == 0:
        return math.inf
    ratio = (1 - label_smoothing) * num_classes / label_smoothing + 1
    return temperature * math.log(ratio) + margin


class DSFLoss(CenterLossBase):
    """Deep Smooth Feature loss of MFER: this project's reconstruction, because the formula is not public.

    Args:
        num_classes: K >= 2.
        feature_dim: D >= 1.
        temperature: tau > 0, temperature of the softmax over distances (mean square per channel).
        label_smoothing: eps within [0, 1).
        pull: lambda >= 0, weight of the pull towards the centre of the true class.
        margin: >= 0, margin by which the true centre must be closer, in units of distance.
        detach: which term has no gradient for the centres: ``none``, ``balance`` or ``pull``.
        init_std: standard deviation of the initial centres; None: chosen such that they start at the optimal distance
            (independent normal centres are nearly equidistant in many dimensions). Centres that start at the same point
            may not separate within a short run or with a small learning rate.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> loss = DSFLoss(num_classes=7, feature_dim=64)
        >>> sorted(loss(torch.randn(5, 64), torch.eye(7)[:5]))
        ['balance', 'distance', 'total']
    """

    settings = (*CenterLossBase.settings, "temperature", "label_smoothing", "pull", "margin", "detach")

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        temperature: float = 0.25,
        label_smoothing: float = 0.1,
        pull: float = 0.2,
        margin: float = 0.0,
        detach: str = "none",
        init_std: float | None = None,
    ) -> None:
        super().__init__(num_classes, feature_dim, 0.0 if init_std is None else init_std)
        self.temperature = check_number("temperature", temperature, 0.0, excluded="low")
        self.label_smoothing = check_number("label_smoothing", label_smoothing, 0.0, 1.0)
        if label_smoothing == 1:  # the smoothed labels would be uniform, whatever the class
            raise ValueError("Expected argument `label_smoothing` to be a number within [0, 1), but got 1.")
        self.pull = check_number("pull", pull, 0.0)
        self.margin = check_number("margin", margin, 0.0)
        self.detach = check_choice("detach", detach, DETACH)
        self.init_std = init_std
        if init_std is None:
            # E ||c_i - c_j||^2 / D = 2 std^2. Without smoothing, the optimum is at infinity, so use 1.
            nn.init.normal_(self.centers, std=math.sqrt((self.gap if math.isfinite(self.gap) else 1.0) / 2))

    @property
    def gap(self) -> float:
        """The distance gap at which the balance is 0; see :func:`optimal_gap`."""
        return optimal_gap(self.num_classes, self.temperature, self.label_smoothing, self.margin)

    def forward(self, feature: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return ``total``, ``balance`` and ``distance`` for features (B,D) and target distributions (B,K)."""
        return dsf_loss(
            feature,
            target,
            self.centers,
            temperature=self.temperature,
            label_smoothing=self.label_smoothing,
            pull=self.pull,
            margin=self.margin,
            detach=self.detach,
        )
