"""The configuration of a training, composed within another verb."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hydra
from omegaconf import OmegaConf

from mfer_lightning.config.messages import explain
from mfer_lightning.config.schema import Train, register
from mfer_lightning.errors import UserError


def compose_train(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose what ``mfer train`` with these overrides would run.

    Args:
        overrides: ``key=value``; called within a verb that Hydra has started.

    Returns:
        Plain resolved configuration.

    Raises:
        UserError: for whatever does not compose.
    """
    register("train_schema", Train)
    try:
        plain = OmegaConf.to_container(hydra.compose("train", list(overrides)), resolve=True, throw_on_missing=True)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise UserError(message) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
