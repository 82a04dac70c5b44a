"""Read the node ``logger`` of a configuration: the loggers and their options. Imports no loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.errors import UserError, nearest

LOGGERS = ("csv", "none", "wandb", "tensorboard", "mlflow", "comet")

#: Options that were directly in the node ``logger`` in versions that supported only one logger. As in those versions,
#: loggers without such an option ignore it.
FIRST_OPTIONS = ("project", "entity", "mode", "images", "checkpoints")


def chosen_loggers(node: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the loggers of a configuration, with the options of each.

    Args:
        node: plain mapping with an entry per logger, and, if there is only one logger, also its options directly;
            ``name`` is the name of the last logger. Older runs have the form ``{"name": "wandb", "project": ...}``.

    Returns:
        Name -> options.

    Raises:
        UserError: for an unknown name, or an option that could belong to several loggers.

    Example:
        >>> chosen_loggers({"wandb": {"project": "p"}, "tags": ["a"]})
        {'wandb': {'project': 'p', 'tags': ['a']}}
        >>> chosen_loggers({"name": "csv", "project": None, "mode": "auto"})
        {'csv': {}}
    """
    found = {k: dict(v) for k, v in node.items() if isinstance(v, Mapping) and (k in LOGGERS or "_target_" in v)}
    alone = {key: value for key, value in node.items() if key not in found and value is not None}
    if "name" in alone:
        name = str(alone.pop("name"))
        if name not in LOGGERS:
            further = f" The name of the run is set by logger.{next(iter(found))}.name." if found else ""
            hint = nearest(name, LOGGERS)
            raise UserError(f"logger.name={name}: {hint}{'' if hint.endswith('?') else '.'}{further}")
        if found and name not in found:
            raise UserError(f"logger.name={name}: choose a logger with logger={name}.")
        found = found or {name: {}}
    real = [name for name in found if name not in ("csv", "none")]
    if alone and len(real) > 1:
        key, value = next(iter(alone.items()))
        spelled = " or ".join(f"logger.{name}.{key}={value}" for name in real)
        raise UserError(f"logger.{key}={value}: there are several loggers, so name the right one: {spelled}.")
    for name in real:
        found[name] |= {k: v for k, v in alone.items() if k not in FIRST_OPTIONS or k in _FIRST_OF.get(name, ())}
    return {name: options if name in real else {**options, **_others(alone)} for name, options in found.items()}


#: The options of the older form that each logger accepts.
_FIRST_OF = {
    "wandb": FIRST_OPTIONS,
    "tensorboard": ("images",),
    "mlflow": ("images", "checkpoints"),
    "comet": ("project", "images", "checkpoints"),
}


def _others(alone: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in alone.items() if key not in FIRST_OPTIONS}
