"""Metrics of a module in validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassRecall

from mfer_lightning.evaluation.predictions_csv import DIMENSIONS
from mfer_lightning.module.valence_arousal_metrics import MEASURES, ValenceArousalMetrics

#: Names that a module logs in addition to its metrics.
MEANS = ("nll", "loss")


#: Names of the metrics that every module has.
OWN = ("accuracy", "mean_class_accuracy", "macro_f1")


#: Metrics of valence and arousal, and whether higher is better.
VALENCE_AROUSAL_MODES = {
    f"{name}{of}": more for name, more in MEASURES.items() for of in ("", *(f"_{d}" for d in DIMENSIONS))
}


def class_scores(logits: Tensor) -> Tensor:
    """Return logits (B,K) that torchmetrics does not mistake for probabilities, even if all are within [0, 1]."""
    inside = ((logits >= 0) & (logits <= 1)).all()
    return torch.where(inside, logits.log_softmax(1), logits)


def build_metrics(num_classes: int, further: Mapping[str, Metric] | MetricCollection | None = None) -> MetricCollection:
    """Build the usual metrics (accuracy, mean-class accuracy, i.e. macro recall, and macro F1) and additional metrics.

    Args:
        num_classes: K.
        further: additional metrics: name -> a torchmetrics metric on logits (B,K) and labels (B,).

    Returns:
        A collection of metrics on logits (B,K) and labels (B,).

    Raises:
        ValueError: if ``further`` is not a mapping, an additional metric is not a torchmetrics metric, or its name is
            already used, has a dot, or is not a non-empty string.
    """
    metrics: dict[str, Metric | MetricCollection] = {
        "accuracy": MulticlassAccuracy(num_classes, average="micro", validate_args=False),
        "mean_class_accuracy": MulticlassRecall(num_classes, average="macro", validate_args=False),
        "macro_f1": MulticlassF1Score(num_classes, average="macro", validate_args=False),
    }
    if not isinstance(further, (Mapping, MetricCollection, type(None))):
        raise ValueError(
            f"Expected argument `metrics` to be a mapping of names to metrics, but got {type(further).__name__}."
        )
    for name, metric in (further or {}).items():
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(
                f"Expected argument `metrics` to have names that are non-empty strings without a dot, but got {name!r}."
            )
        if not isinstance(metric, Metric):
            raise ValueError(
                f"Expected argument `metrics` to contain metrics of torchmetrics, but got {metric!r} as `{name}`."
            )
        if name in (*metrics, *MEANS, *VALENCE_AROUSAL_MODES):
            raise ValueError(f"Expected argument `metrics` to have names that are not in use, but got `{name}`.")
        metrics[str(name)] = metric
    return MetricCollection(metrics)


class EvaluationMetrics(nn.Module):
    """Metrics of one evaluation set: classification metrics, negative log-likelihood and loss.

    Means are over all faces, so they do not depend on the number of ranks or the batch size.

    Args:
        metrics: result of :func:`build_metrics`; copied.
        prefix: prefix of each name, e.g. ``"val/"``.
        postfix: suffix of each name.
        means: the means to measure: all of :data:`MEANS`, only the first, or none.

    Attributes:
        valence_arousal: metrics of valence and arousal; None until a batch has them.
    """

    def __init__(self, metrics: MetricCollection, prefix: str, postfix: str = "", means: Sequence[str] = MEANS) -> None:
        super().__init__()
        self.metrics = metrics.clone(prefix=prefix, postfix=postfix or None)
        self.further = set(metrics.keys(keep_base=True)) != set(OWN)
        self.valence_arousal: ValenceArousalMetrics | None = None
        self._named = (prefix, postfix)
        self.means = nn.ModuleDict({f"{prefix}{name}{postfix}": MeanMetric() for name in means})

    def reset(self) -> None:
        """Reset the metrics; states created in inference mode are replaced, because training cannot change them."""
        self.metrics.reset()
        for mean in self.means.values():
            mean.reset()  # type: ignore[operator]
        if self.valence_arousal is not None:
            self.valence_arousal.reset()

    def update(self, logits: Tensor, label: Tensor, nll: Tensor, loss: Tensor | None) -> None:
        """Add a batch.

        Args:
            logits: (B,K) float32; B may be 0 if a rank had only padding.
            label: (B,) int64.
            nll: (B,).
            loss: the mean over the batch; None: not measured.
        """
        self.metrics.update(class_scores(logits) if self.further else logits, label)
        for mean, value in zip(self.means.values(), (nll, loss), strict=False):
            if value is not None and len(logits):
                mean.update(value, torch.ones_like(nll) if value.ndim else len(logits))  # type: ignore[operator]

    def update_valence_arousal(self, predicted: Tensor, target: Tensor) -> None:
        """Add a batch of predictions (B,2) and labels (B,2), NaN if unknown."""
        if self.valence_arousal is None:
            self.valence_arousal = ValenceArousalMetrics(*self._named).to(predicted.device).train()
        self.valence_arousal.update(predicted, target)

    def compute(self) -> dict[str, Any]:
        """Return name -> value, over all ranks."""
        further = {} if self.valence_arousal is None else self.valence_arousal.compute()
        measured = {name: mean.compute() for name, mean in self.means.items() if mean.update_called}  # type: ignore[operator]
        return {**self.metrics.compute(), **further, **measured}
