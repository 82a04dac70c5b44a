"""Balanced softmax, also known as logit adjustment: train on an imbalanced set as if the classes were balanced.

Papers: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020, arXiv 2007.10740
(original code: github.com/jiawei-ren/BalancedMetaSoftmax); Menon et al., "Long-tail learning via logit adjustment",
ICLR 2021, arXiv 2007.07314, the same loss with a strength tau. What differs: soft targets and label smoothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.losses.base import Loss
from mfer_lightning.losses.checks import check_logits
from mfer_lightning.losses.classification import cross_entropy
from mfer_lightning.losses.weights import check_class_counts
from mfer_lightning.plurals import counted


class BalancedSoftmax(Loss):
    """Cross-entropy over ``logits + tau * log prior``, where the prior is the class frequencies of the training set.

    Predictions use the logits without the prior and therefore suit a balanced evaluation set (such as AffectNet's). The
    loss always includes the prior of the training set. On a set with other class frequencies, it does not measure the
    quality of the predictions, so compare models by metrics instead.

    Args:
        class_counts: number of training faces of each of the K classes, > 0, in class order.
        tau: strength >= 0; 1 is balanced softmax, 0 is cross-entropy.
        label_smoothing: eps within [0, 1].

    Raises:
        ValueError: if an argument is out of range, a class has no face, or K does not match the logits.

    Example:
        >>> loss = BalancedSoftmax(class_counts=[90, 10])
        >>> round(loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).exp().item(), 4)  # 1 / 0.9
        1.1111
    """

    settings = ("tau", "label_smoothing")
    log_prior: Tensor

    def __init__(self, class_counts: Sequence[int], tau: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.class_counts = tuple(class_counts)
        counts = torch.tensor(check_class_counts(class_counts), dtype=torch.float64)
        self.register_buffer("log_prior", (counts / counts.sum()).log().float(), persistent=False)
        self.tau = check_number("tau", tau, 0.0)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, 0.0, 1.0)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits (B,K) against target distributions (B,K), a scalar."""
        check_logits(logits, target)
        if logits.shape[1] != len(self.log_prior):
            raise ValueError(
                f"Expected argument `logits` to have {counted(len(self.log_prior), 'class')} like `class_counts`, "
                f"but got {logits.shape[1]}."
            )
        dtype = torch.promote_types(logits.dtype, torch.float32)
        adjusted = logits.to(dtype) + self.tau * self.log_prior.to(dtype)
        return cross_entropy(adjusted, target, label_smoothing=self.label_smoothing)
