"""Interpolations that the files of conf/ use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf


def register_resolvers() -> None:
    """Let configuration files say ``${mfer.when:<names>,<value>,<otherwise>}``."""
    OmegaConf.register_new_resolver("mfer.when", _when, replace=True)


def _when(names: str | Sequence[str], value: Any, otherwise: Any = None, *, _parent_: DictConfig) -> Any:
    """Return a value that belongs to some names of the node alone, such as the betas of an optimizer.

    With ``optimizer.name=lion`` the file adamw.yaml is still the one that was chosen, and its betas are not Lion's.
    """
    return value if _parent_.get("name") in ([names] if isinstance(names, str) else names) else otherwise
