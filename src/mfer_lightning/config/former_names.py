"""Names that classes had in earlier versions, so that old checkpoints load and runs keep their names.

A configuration stored in an old checkpoint or run folder names classes where they were then. :func:`current` maps such
a name to today's. Run folders are named by a hash of the configuration, ``_target_`` included: the hash is taken over
:func:`first`, the name that a class had first, so that moving a class renames no run.
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
    """Copy a plain configuration with every ``_target_`` under the name that it had first."""
    if isinstance(config, Mapping):
        return {
            k: first(v) if k == "_target_" and isinstance(v, str) else with_first_names(v) for k, v in config.items()
        }
    if isinstance(config, (list, tuple)):
        return [with_first_names(value) for value in config]
    return config


def override_of_today(override: str) -> str:
    """Return today's spelling of an override of the command line.

    ``+augment.flip=0.3`` added an option, where the name of a transform stands today.

    Example:
        >>> override_of_today("+augment.flip=0.3"), override_of_today("augment.flip.p=0.3")
        ('++augment.flip=0.3', 'augment.flip.p=0.3')
    """
    return f"+{override}" if override.startswith("+augment.flip=") else override
