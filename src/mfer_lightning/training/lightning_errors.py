"""Explain errors that Lightning and torch raise for options of the Trainer or a callback."""

from __future__ import annotations

import re


def explained(error: Exception) -> str | None:
    """Explain what the user can do about an error during training.

    Returns:
        A sentence; None if the error is not about an option.

    Example:
        >>> explained(RuntimeError("Early stopping conditioned on metric `val/los` which is not available. ..."))
        'callbacks: Early stopping conditioned on metric `val/los` which is not available. ...'
        >>> explained(RuntimeError("shape mismatch")) is None
        True
    """
    said = " ".join(str(error).split())
    if re.search(r"does not have a deterministic implementation|Deterministic behavior was enabled", said):
        return (
            f"trainer.deterministic=true: {said.partition('. ')[0]}. Use trainer.deterministic=warn for a warning "
            "instead."
        )
    if isinstance(error, RuntimeError) and said.startswith("Early stopping conditioned on"):
        return f"callbacks: {said}"
    return None
