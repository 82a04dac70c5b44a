"""Read the precision that a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Lightning's short names of the arithmetics.
PRECISIONS = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}


def configured_precision(trainer: Any) -> str | None:
    """Read the arithmetic off a ``trainer`` node, under one name.

    Args:
        trainer: the node, of a configuration in use or of one stored by another version or program.

    Returns:
        E.g. ``"bf16-mixed"``; None if it is ``auto``, which is another one on another machine, or is not said.

    Example:
        >>> configured_precision({"precision": "32"}), configured_precision({"precision": "auto"})
        ('32-true', None)
    """
    said = trainer.get("precision") if isinstance(trainer, Mapping) else None
    if said in (None, "", "auto"):
        return None
    return PRECISIONS.get(str(said), str(said))
