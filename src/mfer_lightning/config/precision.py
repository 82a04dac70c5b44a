"""Read the precision from a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Short name of a precision in Lightning -> full name.
PRECISIONS = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}


def configured_precision(trainer: Any) -> str | None:
    """Return the precision of a ``trainer`` node, under Lightning's full name.

    Args:
        trainer: the node, from a current configuration or one stored by another version or program.

    Returns:
        E.g. ``"bf16-mixed"``; None if it is ``auto``, which depends on the machine, or not set.

    Example:
        >>> configured_precision({"precision": "32"}), configured_precision({"precision": "auto"})
        ('32-true', None)
    """
    said = trainer.get("precision") if isinstance(trainer, Mapping) else None
    if said in (None, "", "auto"):
        return None
    return PRECISIONS.get(str(said), str(said))
