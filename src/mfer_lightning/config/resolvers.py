"""Custom interpolations for the files in conf/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf


def register_resolvers() -> None:
    """Enable ``${mfer.when:<names>,<value>,<otherwise>}`` in configuration files."""
    OmegaConf.register_new_resolver("mfer.when", _when, replace=True)


def _when(names: str | Sequence[str], value: Any, otherwise: Any = None, *, _parent_: DictConfig) -> Any:
    """Return a value that applies only to certain names of the node, such as the betas of an optimizer.

    With ``optimizer.name=lion``, the selected file is still adamw.yaml, whose betas are not those of Lion.
    """
    return value if _parent_.get("name") in ([names] if isinstance(names, str) else names) else otherwise
