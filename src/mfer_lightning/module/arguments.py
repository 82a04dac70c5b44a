"""Convert arguments of a module to the plain values stored in its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mfer_lightning.errors import UserError
from mfer_lightning.nn.options import plain


def config_of(preprocess: nn.Module) -> dict[str, Any] | None:
    """Return the configuration of a preprocessing module; None for a user-defined class without one."""
    describe = getattr(preprocess, "to_config", None)
    return None if describe is None else dict(describe())


def options_of(argument: str, given: Mapping[str, Any] | str | None, default: str) -> dict[str, Any]:
    """Return options as a plain dict, from a mapping or a name."""
    if given is None or isinstance(given, str):
        return {"name": given or default}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"Expected argument `{argument}` to be a name or a mapping of options, but got {type(given).__name__}."
        )
    try:
        return dict(plain(given))
    except (UserError, TypeError) as error:
        raise ValueError(f"Expected argument `{argument}` to contain plain values, but got {given!r}.") from error
