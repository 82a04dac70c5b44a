"""Options that a schema knows, those that Hydra's ``+`` added to them, and those that its ``~`` took away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from mfer_lightning.errors import UserError, nearest


def check_known(config: Mapping[str, Any], schema: Any, prefix: str = "") -> None:
    """Refuse what Hydra's ``+`` added, an option that nobody reads, and what its ``~`` took away, that somebody does.

    Args:
        config: plain configuration of a verb.
        schema: dataclass of the verb's options.
        prefix: what to put before a name in the message, e.g. ``"trainer."``.

    Raises:
        UserError: naming the option.
    """
    kinds = {f.name: f.default_factory for f in fields(schema)}
    gone = next((name for name in kinds if name not in config), None)
    if gone is not None:
        raise UserError(f"`{prefix}{gone}` cannot be taken away with ~: leave it out for its default, or give a value.")
    for name, value in config.items():
        if name not in kinds:
            raise UserError(f"There is no option `{prefix}{name}`: {nearest(name, kinds)}")
        if is_dataclass(kinds[name]) and isinstance(value, Mapping):
            check_known(value, kinds[name], f"{prefix}{name}.")
