"""Describe a loss by its class and arguments, so that a checkpoint records how its network was trained."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mfer_lightning.errors import is_plain
from mfer_lightning.losses.metric_learning import MetricLearningLoss
from mfer_lightning.losses.objective import Objective

#: Package whose classes a configuration may name.
_HOME = __name__.rpartition(".")[0]


def describe_objective(objective: nn.Module) -> dict[str, Any] | None:
    """Return the arguments of an :class:`Objective` as plain values, each loss as its class and arguments.

    Args:
        objective: a module of any class.

    Returns:
        ``classification``, ``feature`` (both with ``_target_``; feature may be None), ``feature_weight``, and if
        present ``terms``, and ``valence_arousal`` with its weight; None if the objective has a different class, or if a
        loss does not store its arguments.

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
    terms = {name: describe_loss(loss) for name, loss in objective.terms.items()}
    if None in terms.values():
        return None
    own: dict[str, Any] = {
        **described,
        "feature_weight": objective.feature_weight,
        **({"terms": terms} if terms else {}),
    }
    if objective.valence_arousal is None:
        return own
    further = describe_loss(objective.valence_arousal)
    weight = {"valence_arousal_weight": objective.valence_arousal_weight}
    return None if further is None else {**own, "valence_arousal": further, **weight}


def describe_loss(loss: nn.Module) -> dict[str, Any] | None:
    """Return ``_target_`` and the arguments of a loss, read from its attributes of the same names.

    Returns:
        A dict; None if an argument has no attribute of its name, or a value that is not plain.
    """
    if isinstance(loss, MetricLearningLoss):
        sizes = {"num_classes": loss.num_classes, "feature_dim": loss.feature_dim}
        return with_target(loss, {**sizes, "loss": loss.name, "gather": loss.gather, **loss.options}, _HOME)
    parameters = inspect.signature(type(loss).__init__).parameters
    # nn.Module.__init__ takes *args and **kwargs, which are not options of the loss
    names = [name for name in parameters if name not in ("self", "args", "kwargs")]
    return describe_by_attributes(loss, names, _HOME)


def describe_by_attributes(module: nn.Module, names: Sequence[str], home: str) -> dict[str, Any] | None:
    """Return ``_target_`` and the arguments of a module that stores each argument under its own name.

    Args:
        module: a module of any class.
        names: names of its arguments.
        home: package that re-exports the classes of its submodules; ``_target_`` names it instead of the submodule.

    Returns:
        A dict; None if an argument has no attribute of its name, or a value that is not plain.
    """
    if not all(hasattr(module, name) for name in names):
        return None
    return with_target(module, {name: getattr(module, name) for name in names}, home)


def with_target(module: nn.Module, values: Mapping[str, Any], home: str) -> dict[str, Any] | None:
    """Combine a module's class with its arguments; None if an argument is not a plain value."""
    kind = type(module)
    place = home if kind.__module__.startswith(f"{home}.") else kind.__module__
    plain = {name: v.tolist() if isinstance(v, Tensor) else v for name, v in values.items()}
    return {"_target_": f"{place}.{kind.__qualname__}", **plain} if all(map(is_plain, plain.values())) else None
