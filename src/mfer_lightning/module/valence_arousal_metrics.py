"""Metrics of valence and arousal in validation and test."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, MetricCollection, SumMetric
from torchmetrics.regression import ConcordanceCorrCoef, MeanSquaredError

from mfer_lightning.evaluation.predictions_csv import DIMENSIONS

#: Metric -> whether higher is better; each is measured for valence, for arousal, and as the mean of both.
MEASURES = {"ccc": True, "rmse": False, "sagr": True}


class ValenceArousalMetrics(nn.Module):
    """Concordance, root mean squared error and sign agreement of valence and arousal, over the known values.

    The first two come from torchmetrics. The third is the fraction of faces with the correct sign, where 0 is a
    separate sign (Nicolaou et al., IEEE Transactions on Affective Computing 2011).

    Args:
        prefix: prefix of each name, e.g. ``"val/"``.
        postfix: suffix of each name.
    """

    def __init__(self, prefix: str, postfix: str = "") -> None:
        super().__init__()
        self.prefix, self.postfix = prefix, postfix
        self.metrics = nn.ModuleDict(
            {
                of: MetricCollection(
                    {
                        "ccc": ConcordanceCorrCoef(),
                        "rmse": MeanSquaredError(squared=False),
                        "sagr": MeanMetric(),
                        "known": SumMetric(),
                    },
                    compute_groups=False,  # updated separately
                )
                for of in DIMENSIONS
            }
        )

    def reset(self) -> None:
        """Reset the metrics."""
        for collection in self.metrics.values():
            collection.reset()  # type: ignore[operator]

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            predicted: (B,2) float32.
            target: (B,2), NaN if unknown.
        """
        for place, of in enumerate(DIMENSIONS):
            metrics = self.metrics[of]
            known = ~target[:, place].isnan()
            x, y = predicted[known, place], target[known, place]
            metrics["known"].update(float(len(x)))  # type: ignore[index]
            if len(x):
                with warnings.catch_warnings():  # about a case that `compute` handles
                    warnings.filterwarnings("ignore", message="The variance of predictions or target")
                    metrics["ccc"].update(x, y)  # type: ignore[index]
                metrics["rmse"].update(x, y)  # type: ignore[index]
                metrics["sagr"].update((x.sign() == y.sign()).float())  # type: ignore[index]

    def compute(self) -> dict[str, Tensor]:
        """Return name -> value, over all ranks; metrics that are undefined for so few known values are left out."""
        found: dict[str, Tensor] = {}
        for of in DIMENSIONS:
            with warnings.catch_warnings():  # a rank may have no values, and constant predictions have a CCC of 0
                warnings.filterwarnings("ignore", message="The (variance of predictions|``compute`` method)")
                measured = self.metrics[of].compute()  # type: ignore[operator]
            known = measured.pop("known")
            if known >= 2:  # torchmetrics returns NaN if predictions hardly vary
                found[f"ccc_{of}"] = measured.pop("ccc").nan_to_num(0.0)
            if known >= 1:
                found |= {f"{name}_{of}": measured[name] for name in ("rmse", "sagr")}
        for name in MEASURES:
            both = [found[f"{name}_{of}"] for of in DIMENSIONS if f"{name}_{of}" in found]
            if len(both) == len(DIMENSIONS):
                found[name] = torch.stack(both).mean()
        return {f"{self.prefix}{name}{self.postfix}": value for name, value in found.items()}
