"""A composed configuration, made plain."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from mfer_lightning.config.messages import explain
from mfer_lightning.errors import UserError


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    """Resolve a composed configuration into plain containers.

    Raises:
        UserError: for an interpolation that leads nowhere, or a value that is still missing.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except Exception as error:
        raise UserError(explain(error) or str(error)) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
