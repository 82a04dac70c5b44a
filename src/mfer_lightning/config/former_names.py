"""Former names of classes and options, so that old checkpoints load and runs keep their names.

A configuration stored in an old checkpoint or run folder names classes at their former locations. :func:`current` maps
such a name to the current one. Run folders are named by a hash of the configuration, including ``_target_``. The hash
uses :func:`first`, the original name of a class, so that moving a class does not rename runs.

The former name of a renamed option still works on the command line and in files. The schema has both names; unless it
is set, the former one is interpolated from the current one. :func:`with_options_of_today` keeps only the current name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: Original name of a class -> current name. If a class moves again, only the right side changes.
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


#: Former name of an option -> current name.
OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "trainer.accumulate": "trainer.accumulate_grad_batches",
        "trainer.clip": "trainer.gradient_clip_val",
    }
)


def current(target: str) -> str:
    """Return the current name of a class; other names are returned unchanged.

    Example:
        >>> current("mfer_lightning.data.datamodules.RAFDBDataModule")
        'mfer_lightning.data.datasets.RAFDBDataModule'
    """
    return MOVED.get(target, target)


def first(target: str) -> str:
    """Return the original name of a class; other names are returned unchanged.

    Example:
        >>> first("mfer_lightning.data.datasets.RAFDBDataModule")
        'mfer_lightning.data.datamodules.RAFDBDataModule'
    """
    return _FIRST.get(target, target)


def with_first_names(config: Any) -> Any:
    """Copy a plain configuration, with the original names of all ``_target_`` classes and of renamed options."""
    copy = _with_first_targets(config)
    for older, newer in OPTIONS.items():
        node, old, new = _both(copy, older, newer)
        if new in node:
            # if both exist, the former one is set explicitly or equals the current one
            node[old] = node.get(old, node[new])
            del node[new]
    trainer = copy.get("trainer") if isinstance(copy, dict) else None
    if isinstance(trainer, dict) and trainer.get("deterministic") == "warn":
        trainer["deterministic"] = True  # the original value; runs that succeed give the same results with either
    if isinstance(trainer, dict) and isinstance(trainer.get("compile"), str):
        trainer["compile"] = True  # how the network is compiled affects only rounding
    return copy


def with_options_of_today(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a plain configuration with the current names of all renamed options.

    Args:
        config: current or stored configuration, with the former name, the current one, or both. If both exist, the
            former one takes precedence, because it equals the current one unless it is set explicitly.

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
    """Return the node of a renamed option, and its former and its current name in that node."""
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
    """Return a command-line override with the current option name.

    ``+augment.flip=0.3`` used to add an option, but now a transform has this name, so ``++`` is needed to replace it.
    ``weights.colour`` is now an option of the preprocessing.

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
