"""Custom interpolations for the configuration files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf


def register_resolvers() -> None:
    """Enable ``${mfer.when:<names>,<value>,<otherwise>}`` in configuration files."""
    OmegaConf.register_new_resolver("mfer.when", _when, replace=True)


def _when(names: str | Sequence[str], value: Any, otherwise: Any = None, *, _parent_: DictConfig) -> Any:
    """Return ``value`` if the name of the node is one of ``names``, and ``otherwise`` if not.

    For example, with ``optimizer.name=lion``, the selected file is still adamw.yaml, whose betas Lion must not use.
    """
    return value if _parent_.get("name") in ([names] if isinstance(names, str) else names) else otherwise
