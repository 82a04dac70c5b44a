r"""Concordance loss for valence and arousal, ``1 - CCC``.

Lin's concordance correlation coefficient (A Concordance Correlation Coefficient to Evaluate Reproducibility, Biometrics
1989) is 1 if predictions equal the labels, and decreases with their scatter and with any difference in mean or scale.
Used as a loss for valence and arousal, averaged over the two: Kollias, Zafeiriou, Expression, Affect, Action Unit
Recognition: Aff-Wild2, Multi-Task Learning and ArcFace, BMVC 2019, arXiv 1910.04855. This implementation ignores
unknown values, and computes the statistics over the batch of all ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mfer_lightning.losses.base import Loss
from mfer_lightning.losses.checks import at_least_float32, check_valence_arousal, no_autocast
from mfer_lightning.losses.gather import gather_rows

#: Added to the denominator, which is 0 if predictions and labels are the same constant.
EPS = 1e-8


def concordance(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Compute Lin's coefficient of each column over its known values.

    ``2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)``, with the divisor n for variances and covariance, as in
    Lin's paper.

    Args:
        prediction: (B,C).
        target: (B,C), NaN if unknown.

    Returns:
        (C,) within [-1, 1]; 0 for a column with fewer than two known values.

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> concordance(x, torch.tensor([[0.0, 1.0], [1.0, 0.0]])).tolist()
        [1.0, -1.0]
    """
    known = ~target.isnan()
    count = known.sum(0).clamp(min=1)
    x, y = (torch.where(known, values, 0.0) for values in (prediction, target))
    means = [values.sum(0) / count for values in (x, y)]
    dx, dy = (torch.where(known, values - mean, 0.0) for values, mean in zip((x, y), means, strict=True))
    spread = (dx.square() + dy.square()).sum(0) / count
    return 2 * (dx * dy).sum(0) / count / (spread + (means[0] - means[1]).square() + EPS)


def concordance_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute ``1 - CCC``, averaged over valence and arousal, for the batch of all ranks.

    Every rank must call this function at the same point, each with its own rows. Predictions and labels are gathered
    with gradients, so several ranks compute the same loss as one process with the combined batch.

    Args:
        prediction: (B,2).
        target: (B,2), NaN if unknown. A dimension with fewer than two known values is left out of the mean.

    Returns:
        A scalar within [0, 2], float32 or wider; 0, with gradients of 0, if both dimensions are left out.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> same = torch.tensor([[0.5, float("nan")], [-0.5, 0.1], [0.0, float("nan")]])
        >>> round(float(concordance_loss(same.nan_to_num(), same)), 6)  # valence is correct, arousal is left out
        0.0
    """
    check_valence_arousal(prediction, target)
    with no_autocast(prediction):
        prediction, target = gather_rows(*at_least_float32(prediction, target))
        counts = (~target.isnan()).sum(0) >= 2
        missing = torch.where(counts, 1 - concordance(prediction, target), 0.0)
        return missing.sum() / counts.sum().clamp(min=1)


class ConcordanceLoss(Loss):
    """Concordance loss for valence and arousal; see :func:`concordance_loss`."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of predictions (B,2) against labels (B,2), NaN if unknown, as a scalar."""
        return concordance_loss(prediction, target)
