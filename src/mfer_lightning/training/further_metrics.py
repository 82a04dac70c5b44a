"""Build the torchmetrics metrics of a configuration, and compute them on the final predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from torchmetrics import Metric

from mfer_lightning.config.instantiate import LIBRARIES, instantiate, keyword_parameters, locate
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.evaluation.predictions import PADDING, Predictions
from mfer_lightning.evaluation.schema import METRICS
from mfer_lightning.evaluation.valence_arousal import FIGURES
from mfer_lightning.module import class_scores

Config = Mapping[str, Any]

#: Names reserved for built-in metrics in results and logs.
TAKEN = (*METRICS, "kl_to_votes", "cross_entropy_to_votes", "loss", *FIGURES)


def build_further_metrics(config: Config, num_classes: int) -> dict[str, Metric]:
    """Build the metrics in ``metrics``, and test each on a few scores and labels.

    Args:
        config: plain resolved configuration.
        num_classes: K.

    Returns:
        Name -> a metric on class scores (B,K) and labels (B,) that returns one number.

    Raises:
        UserError: if a metric cannot be built, does not return one number, or its name is taken.
    """
    found = {}
    for name, node in (config.get("metrics") or {}).items():
        where = f"metrics.{name}"
        if node is None:
            continue
        if not isinstance(node, Mapping) or "_target_" not in node:
            raise UserError(
                f"{where}={node}: the value must be a mapping with `_target_`, such as those in conf/metrics; "
                f"metrics=[{name}] chooses one of them."
            )
        if name in TAKEN or not name.isidentifier():
            raise UserError(
                f"{where}: the name must be a word that is not already used in results ({', '.join(TAKEN)})."
            )
        libraries = LIBRARIES["metrics"]
        legal, _ = keyword_parameters(locate(str(node["_target_"]), where, libraries))
        for option in node:  # torchmetrics classes accept any option, and their errors do not name legal ones
            if legal and option not in (*legal, "_target_", "compute_on_cpu"):
                raise UserError(f"{where} has no option `{option}`: {nearest(option, legal)}")
        metric = instantiate(node, where=where, base=Metric, libraries=libraries, num_classes=num_classes)
        _try(where, metric, num_classes)
        found[name] = metric
    return found


def _try(where: str, metric: Metric, num_classes: int) -> None:
    labels = torch.arange(2 * num_classes + 1) % num_classes
    alone = _alone(metric)
    try:
        alone.update(class_scores(torch.eye(num_classes)[labels] * 4), labels)
        value = alone.compute()
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{where}: {type(metric).__name__} does not accept class scores and one label per face ({said}). Use "
            "one of torchmetrics' Multiclass metrics."
        ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise UserError(
            f"{where}: {type(metric).__name__} returns more than one number. Use average=macro if it has this option, "
            "or another metric."
        )


def _alone(metric: Metric) -> Metric:
    """Copy a metric so that it covers only the data of this process, without synchronisation."""
    copy = metric.clone()
    copy.reset()
    copy.distributed_available_fn = lambda: False
    return copy


def further_figures(metrics: Mapping[str, Metric], table: Predictions) -> dict[str, float | None]:
    """Compute metrics of a prediction table, in float32.

    Args:
        metrics: the result of :func:`build_further_metrics`.
        table: predictions; padding and faces without a label are ignored.

    Returns:
        Name -> value; None if undefined.
    """
    labelled = table.select((table.index != PADDING) & (table.label >= 0))
    scores = class_scores(torch.as_tensor(labelled.logits, dtype=torch.float32))
    figures = {}
    for name, metric in metrics.items():
        alone = _alone(metric)
        alone.update(scores, torch.as_tensor(labelled.label))
        value = float(alone.compute())
        figures[name] = value if math.isfinite(value) else None
    return figures


def selecting_monitor(config: Config, protocol: Protocol) -> str | None:
    """Return the validation metric that selects the checkpoint; None: use the last epoch."""
    return None if protocol.takes_last_epoch else config.get("monitor") or protocol.monitor


def mode_of(option: str, monitor: str, modes: Mapping[str, str]) -> str:
    """Return whether higher (``max``) or lower (``min``) values of a validation metric are better.

    Args:
        option: the option that names the metric, for the message.
        monitor: the metric without ``val/``.
        modes: metric -> mode, from :meth:`mfer_lightning.module.FERModule.modes`.

    Raises:
        UserError: if the metric does not exist or has no preferred direction.
    """
    if monitor not in modes:
        raise UserError(
            f"{option}={monitor}: Expected argument `monitor` to be one of {tuple(modes)}, but got {monitor!r}. Add "
            "others with metrics=[...]; they must set `higher_is_better`."
        )
    return modes[monitor]


def check_direction(monitor: str, mode: str) -> None:
    """Reject a search in the wrong direction for the selection metric.

    Raises:
        UserError: if the direction is wrong; the message names the option of the search.
    """
    if not HydraConfig.initialized():
        return
    direction = HydraConfig.get().sweeper.get("direction")
    direction = getattr(direction, "name", direction)
    wanted = {"max": "maximize", "min": "minimize"}[mode]
    if direction in ("maximize", "minimize") and direction != wanted:
        raise UserError(
            f"hydra.sweeper.direction={direction} searches for the worst {monitor}. Use "
            f"hydra.sweeper.direction={wanted}."
        )
