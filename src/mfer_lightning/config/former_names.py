"""Names that classes and options had in earlier versions, so that old checkpoints load and runs keep their names.

A configuration stored in an old checkpoint or run folder names classes where they were then. :func:`current` maps such
a name to today's. Run folders are named by a hash of the configuration, ``_target_`` included: the hash is taken over
:func:`first`, the name that a class had first, so that moving a class renames no run.

An option that has been renamed keeps its older spelling on the command line and in files. The schema has both; the
older one follows the newer one by interpolation, unless it is given. :func:`with_options_of_today` keeps the newer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: Name that a class had first -> its name today. A class that moves again keeps its left side.
MOVED: Mapping[str, str] = MappingProxyType(
    {
        f"mfer_lightning.data.datamodules.{name}": f"mfer_lightning.data.datasets.{name}"
        for name in (
            "AffectNetDataModule",
            "FERPlusDataModule",
            "FacsDataModule",
            "FolderDataModule",
            "RAFDBDataModule",
        )
    }
)
_FIRST = {today: first for first, today in MOVED.items()}


#: Older spelling of an option -> its name today.
OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "trainer.accumulate": "trainer.accumulate_grad_batches",
        "trainer.clip": "trainer.gradient_clip_val",
    }
)


def current(target: str) -> str:
    """Return today's name of a class.

    Example:
        >>> current("mfer_lightning.data.datamodules.RAFDBDataModule")
        'mfer_lightning.data.datasets.RAFDBDataModule'
    """
    return MOVED.get(target, target)


def first(target: str) -> str:
    """Return the name that a class had first.

    Example:
        >>> first("mfer_lightning.data.datasets.RAFDBDataModule")
        'mfer_lightning.data.datamodules.RAFDBDataModule'
    """
    return _FIRST.get(target, target)


def with_first_names(config: Any) -> Any:
    """Copy a plain configuration with every ``_target_`` and every renamed option under the name that it had first."""
    copy = _with_first_targets(config)
    for older, newer in OPTIONS.items():
        node, old, new = _both(copy, older, newer)
        if new in node:
            node[old] = node.get(old, node[new])  # where both are there, the older one is given or follows the newer
            del node[new]
    trainer = copy.get("trainer") if isinstance(copy, dict) else None
    if isinstance(trainer, dict) and trainer.get("deterministic") == "warn":
        trainer["deterministic"] = True  # meant this at first; what does not fail is the same either way
    if isinstance(trainer, dict) and isinstance(trainer.get("compile"), str):
        trainer["compile"] = True  # whether and how it is done changes no result but for rounding
    return copy


def with_options_of_today(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a plain configuration with every renamed option under its name today.

    Args:
        config: in use or stored, with the older spelling, the newer one, or both; the older one counts where it is
            there, since without being given it follows the newer one.

    Example:
        >>> with_options_of_today({"trainer": {"clip": None, "gradient_clip_val": 1.0}})
        {'trainer': {'gradient_clip_val': None}}
    """
    copy = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    for older, newer in OPTIONS.items():
        node, old, new = _both(copy, older, newer)
        if old in node:
            node[new] = node.pop(old)
    return copy


def _both(config: Any, older: str, newer: str) -> tuple[dict[str, Any], str, str]:
    """Find the node of a renamed option, and both its names there."""
    group, _, old = older.partition(".")
    node = config.get(group) if isinstance(config, dict) else None
    return node if isinstance(node, dict) else {}, old, newer.rpartition(".")[2]


def _with_first_targets(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {
            k: first(v) if k == "_target_" and isinstance(v, str) else _with_first_targets(v) for k, v in config.items()
        }
    if isinstance(config, (list, tuple)):
        return [_with_first_targets(value) for value in config]
    return config


def override_of_today(override: str) -> str:
    """Return today's spelling of an override of the command line.

    ``+augment.flip=0.3`` added an option, where the name of a transform stands today. ``weights.colour``, what is known
    of the weights, is stored with the preprocessing.

    Example:
        >>> override_of_today("+augment.flip=0.3"), override_of_today("augment.flip.p=0.3")
        ('++augment.flip=0.3', 'augment.flip.p=0.3')
        >>> override_of_today("weights.colour=bgr")
        'preprocess.colour=BGR'
    """
    key, separator, value = override.partition("=")
    if key in ("weights.colour", "weights.color"):
        return f"preprocess.colour{separator}{value.upper()}"
    return f"+{override}" if override.startswith("+augment.flip=") else override
