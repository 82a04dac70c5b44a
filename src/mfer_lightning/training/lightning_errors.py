"""Explain errors that Lightning and torch raise for options of the Trainer or a callback, or for a killed worker."""

from __future__ import annotations

import re

from mfer_lightning.data.workers import killed_worker


def explained(error: Exception) -> str | None:
    """Explain an error during training that the user can correct.

    Returns:
        A sentence; None for any other error.

    Example:
        >>> explained(RuntimeError("Early stopping conditioned on metric `val/los` which is not available. ..."))
        'callbacks: Early stopping conditioned on metric `val/los` which is not available. ...'
        >>> explained(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")).partition(";")[0]
        'A worker of the loader (process 7) was killed'
        >>> explained(RuntimeError("shape mismatch")) is None
        True
    """
    said = " ".join(str(error).split())
    if re.search(r"does not have a deterministic implementation|Deterministic behavior was enabled", said):
        return (
            f"trainer.deterministic=true: {said.partition('. ')[0]}. Use trainer.deterministic=warn for a warning "
            "instead."
        )
    if (killed := killed_worker(error, "batch_size")) is not None:
        return f"{killed} The same command continues the run."
    if isinstance(error, RuntimeError) and said.startswith("Early stopping conditioned on"):
        return f"callbacks: {said}"
    return None
