"""Describe a loss by its class and arguments, so that a checkpoint can say what its network was trained with."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from mfer_lightning.errors import is_plain
from mfer_lightning.losses.metric_learning import MetricLearningLoss
from mfer_lightning.losses.objective import Objective

#: The module whose names a configuration may give.
_HOME = __name__.rpartition(".")[0]


def describe_objective(objective: nn.Module) -> dict[str, Any] | None:
    """Return the arguments of an :class:`Objective` as plain values, each loss as its class and arguments.

    Args:
        objective: of any class.

    Returns:
        ``classification``, ``feature`` (both with ``_target_``; feature may be None) and ``feature_weight``; None
        where the objective is of another class, or a loss does not keep its arguments.

    Example:
        >>> from mfer_lightning.losses import CrossEntropy, Objective
        >>> describe_objective(Objective(CrossEntropy(label_smoothing=0.1)))["classification"]
        {'_target_': 'mfer_lightning.losses.CrossEntropy', 'label_smoothing': 0.1, 'class_weights': None}
    """
    if type(objective) is not Objective:
        return None
    parts = {"classification": objective.classification, "feature": objective.feature}
    described = {name: None if loss is None else describe_loss(loss) for name, loss in parts.items()}
    if any(loss is not None and described[name] is None for name, loss in parts.items()):
        return None
    return {**described, "feature_weight": objective.feature_weight}


def describe_loss(loss: nn.Module) -> dict[str, Any] | None:
    """Return ``_target_`` and the arguments of a loss, read off its attributes of the same names.

    Returns:
        None where an argument has no attribute, or one that is no plain value.
    """
    kind = type(loss)
    home = _HOME if kind.__module__.startswith(f"{_HOME}.") else kind.__module__
    if isinstance(loss, MetricLearningLoss):
        sizes = {"num_classes": loss.num_classes, "feature_dim": loss.feature_dim}
        values = {**sizes, "loss": loss.name, "gather": loss.gather, **loss.options}
    else:
        names = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
        if not all(hasattr(loss, name) for name in names):
            return None
        values = {name: getattr(loss, name) for name in names}
    values = {name: v.tolist() if isinstance(v, Tensor) else v for name, v in values.items()}
    return {"_target_": f"{home}.{kind.__qualname__}", **values} if all(map(is_plain, values.values())) else None
