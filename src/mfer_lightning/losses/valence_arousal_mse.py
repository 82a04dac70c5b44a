"""Mean squared error for valence and arousal.

The baselines in the AffectNet paper train each dimension with the squared error (Mollahosseini, Hasani, Mahoor, IEEE
Transactions on Affective Computing 2017, arXiv 1708.03985). This implementation ignores unknown values, and takes the
mean over the known values of all ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mfer_lightning.losses.base import Loss
from mfer_lightning.losses.checks import at_least_float32, check_valence_arousal, no_autocast
from mfer_lightning.losses.gather import gather_rows


def valence_arousal_mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared error over the known values of each dimension, averaged over the dimensions.

    A dimension without known values is left out of the average.

    Every rank must call this function at the same point, each with its own rows, as for
    :func:`mfer_lightning.losses.concordance.concordance_loss`.

    Args:
        prediction: (B,2).
        target: (B,2), NaN if unknown.

    Returns:
        A scalar >= 0, float32 or wider; 0, with gradients of 0, if no value is known.

    Raises:
        ValueError: if the shapes do not match.

    Example:
        >>> target = torch.tensor([[0.5, float("nan")], [-0.5, float("nan")]])
        >>> float(valence_arousal_mse(torch.zeros(2, 2), target))
        0.25
    """
    check_valence_arousal(prediction, target)
    with no_autocast(prediction):
        prediction, target = gather_rows(*at_least_float32(prediction, target))
        known = ~target.isnan()
        count = known.sum(0)
        error = torch.where(known, prediction - target.nan_to_num(), 0.0).square().sum(0) / count.clamp(min=1)
        return error.sum() / (count > 0).sum().clamp(min=1)


class ValenceArousalMSE(Loss):
    """Mean squared error for valence and arousal; see :func:`valence_arousal_mse`."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of predictions (B,2) against labels (B,2), NaN if unknown, as a scalar."""
        return valence_arousal_mse(prediction, target)
