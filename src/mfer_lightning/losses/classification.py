"""Cross-entropy between a target distribution and logits.

Label smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
arXiv 1512.00567. MFER (Xu et al., IEEE Transactions on Affective Computing 2024) uses it with 0.1 on each head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.losses.base import Loss
from mfer_lightning.losses.checks import at_least_float32, check_logits, no_autocast
from mfer_lightning.losses.weights import class_weight_buffer, weigh


def smooth(target: Tensor, label_smoothing: float) -> Tensor:
    """Mix a target with the uniform distribution: ``(1 - eps) * target + eps / K``; eps is spread over all K classes.

    Args:
        target: (B,K) distributions.
        label_smoothing: eps within [0, 1].

    Returns:
        (B,K); row sums do not change.
    """
    if label_smoothing == 0:
        return target
    return target * (1 - label_smoothing) + label_smoothing / target.shape[-1]


def cross_entropy(
    logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    r"""Compute mean cross-entropy with the smoothed target q, ``-1/B sum_b sum_k w_k q_bk log softmax(logits_b)_k``.

    Args:
        logits: (B,K).
        target: (B,K) distributions; one-hot for hard labels.
        label_smoothing: eps within [0, 1].
        class_weights: (K,) w; None: all weights are 1. The mean is over B, not over the weights, so that it does not
            depend on how a batch is split over ranks.

    Returns:
        Scalar >= 0 (for weights >= 0), float32 or wider.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(2, 4), torch.eye(4)[:2]).exp()
        tensor(4.)
    """
    check_logits(logits, target)
    with no_autocast(logits):
        logits, target = at_least_float32(logits, target)
        weighted = weigh(smooth(target, label_smoothing), class_weights)
        return -(weighted * F.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


class CrossEntropy(Loss):
    """Cross-entropy over hard (one-hot) or soft targets, with label smoothing.

    Args:
        label_smoothing: eps within [0, 1], spread over all K classes.
        class_weights: K weights >= 0, one per class, or None.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import torch
        >>> loss = CrossEntropy(label_smoothing=0.1)
        >>> round(loss(torch.tensor([[4.0, 0.0]]), torch.tensor([[1.0, 0.0]])).item(), 4)
        0.2181
    """

    settings = ("label_smoothing",)
    class_weights: Tensor | None

    def __init__(self, label_smoothing: float = 0.1, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.label_smoothing = check_number("label_smoothing", label_smoothing, 0.0, 1.0)
        self.register_buffer("class_weights", class_weight_buffer(class_weights), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits (B,K) against target distributions (B,K), a scalar."""
        return cross_entropy(logits, target, label_smoothing=self.label_smoothing, class_weights=self.class_weights)
