"""Focal loss: cross-entropy that gives easy samples less weight.

Paper: Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection", ICCV 2017, arXiv 1708.02002
(original code: github.com/facebookresearch/Detectron). What differs: a softmax over K classes instead of one sigmoid
per class, and soft targets (the expectation of the hard-label loss under the target).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.losses.base import Loss
from mfer_lightning.losses.checks import at_least_float32, check_logits, no_autocast
from mfer_lightning.losses.classification import smooth
from mfer_lightning.losses.weights import class_weight_buffer, weigh


def focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    r"""Compute the mean focal loss ``-1/B sum_b sum_k w_k q_bk (1 - p_bk)^gamma log p_bk``.

    p is the softmax of the logits, and q is the smoothed target.

    Args:
        logits: (B,K).
        target: (B,K) distributions.
        gamma: >= 0; 0 is cross-entropy.
        label_smoothing: eps within [0, 1].
        class_weights: (K,) w (the paper's alpha); None: all weights are 1.

    Returns:
        Scalar >= 0, float32 or wider.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> target = torch.tensor([[1.0, 0.0]])
        >>> [round(focal_loss(logits, target, gamma=g).item(), 4) for g in (0.0, 2.0)]
        [0.1269, 0.0018]
    """
    check_logits(logits, target)
    with no_autocast(logits):
        logits, target = at_least_float32(logits, target)
        log_p = F.log_softmax(logits, dim=-1)
        # 1 - p without cancellation; the floor keeps the derivative of x^gamma finite at 0 for gamma < 1.
        rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
        weighted = weigh(smooth(target, label_smoothing), class_weights)
        return -(weighted * rest.pow(gamma) * log_p).sum(dim=-1).mean()


class FocalLoss(Loss):
    """Focal loss (Lin et al., ICCV 2017) over the softmax, for hard (one-hot) or soft targets.

    Args:
        gamma: >= 0; 0 is cross-entropy.
        label_smoothing: eps within [0, 1].
        class_weights: K weights >= 0, one per class, or None.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> FocalLoss(gamma=2.0)(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))  # 1/4 log 2
        tensor(0.1733)
    """

    settings = ("gamma", "label_smoothing")
    class_weights: Tensor | None

    def __init__(
        self, gamma: float = 2.0, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.gamma = check_number("gamma", gamma, 0.0)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, 0.0, 1.0)
        self.register_buffer("class_weights", class_weight_buffer(class_weights), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits (B,K) against target distributions (B,K), a scalar."""
        smoothing, weights = self.label_smoothing, self.class_weights
        return focal_loss(logits, target, gamma=self.gamma, label_smoothing=smoothing, class_weights=weights)
