"""Max-over-targets loss of FERPlus: any one of a face's emotions counts as correct.

Paper: Barsoum, Zhang, Canton Ferrer, Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", ICMI 2016, arXiv 1608.01041, scheme "multi-label learning" (original code:
github.com/microsoft/FERPlus). What differs: optional label smoothing of the selected class.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.losses.base import Loss
from mfer_lightning.losses.checks import at_least_float32, check_logits, no_autocast


def multi_target_loss(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    r"""Compute the mean of ``-log max_{k: t_k > 0} softmax(logits)_k``.

    For each face, only the most likely class of its set is trained as correct, so any class of the set is accepted.

    Args:
        logits: (B,K).
        target: (B,K) sets of classes: every class with an entry > 0 is in the set.
        label_smoothing: eps within [0, 1], for the selected class.

    Returns:
        Scalar >= 0, float32 or wider. Infinite if a row contains no class.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[0.0, 2.0, 0.0]])
        >>> multi_target_loss(logits, torch.tensor([[1.0, 1.0, 0.0]])).item() == \
        ...     multi_target_loss(logits, torch.tensor([[0.0, 1.0, 0.0]])).item()
        True
    """
    check_logits(logits, target)
    with no_autocast(logits):
        logits, target = at_least_float32(logits, target)
        log_p = F.log_softmax(logits, dim=-1)
        chosen = log_p.masked_fill(target <= 0, float("-inf")).max(dim=-1).values
        return -((1 - label_smoothing) * chosen + label_smoothing * log_p.mean(dim=-1)).mean()


class MultiTargetLoss(Loss):
    """Max-over-targets loss (Barsoum et al., ICMI 2016). Targets are sets of classes; a hard label is a set of size 1.

    Args:
        label_smoothing: eps within [0, 1].

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import torch
        >>> MultiTargetLoss()(torch.zeros(1, 4), torch.tensor([[1.0, 1.0, 0.0, 0.0]])).exp()
        tensor(4.)
    """

    target_kind = "multi-hot"
    settings = ("label_smoothing",)

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = check_number("label_smoothing", label_smoothing, 0.0, 1.0)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits (B,K) against sets of classes (B,K), a scalar."""
        return multi_target_loss(logits, target, label_smoothing=self.label_smoothing)
