"""Decide whether an unfinished run can be resumed, and record the precisions it was trained in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfer_lightning.checkpoints.read import read_checkpoint
from mfer_lightning.config.precision import configured_precision
from mfer_lightning.errors import UserError

_THEN = ", then "
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Resumption:
    """Where a training run resumes.

    Args:
        checkpoint: checkpoint of the last complete epoch; None: start from scratch.
        precision: precision of its epochs, ``"unknown"`` if neither the checkpoint nor its configuration records it;
            None if there are no epochs.
        ended: whether training is complete (by epochs or steps), so that only the evaluation remains.
        epochs: number of completed epochs.
        teachers: records of the teachers, as stored in the checkpoint.
    """

    checkpoint: str | None = None
    precision: str | None = None
    ended: bool = False
    epochs: int = 0
    teachers: Any = None

    def with_precision(self, now: str) -> str:
        """Return the precisions of the whole run, if it continues with the current one.

        Args:
            now: current precision, e.g. ``"bf16-mixed"``.

        Example:
            >>> Resumption().with_precision("32-true")
            '32-true'
            >>> Resumption("last.ckpt", "bf16-mixed").with_precision("32-true")
            'bf16-mixed, then 32-true'
            >>> Resumption("last.ckpt", "bf16-mixed", ended=True).with_precision("32-true")
            'bf16-mixed'
        """
        if self.precision is None:
            return now
        if self.ended or self.precision.split(_THEN)[-1] == now:
            return self.precision
        return f"{self.precision}{_THEN}{now}"


def resumption(last: Path, data_hash: str, max_epochs: int | None = None, max_steps: int | None = None) -> Resumption:
    """Determine from the last checkpoint of a run where training resumes.

    Args:
        last: ``checkpoints/last.ckpt`` of the run, which may not exist.
        data_hash: hash of the current faces, labels and splits.
        max_epochs: epoch limit of the run; None: no limit.
        max_steps: step limit of the run; None or -1: no limit.

    Raises:
        UserError: if the checkpoint cannot be read, or was trained on other data.
    """
    if not last.is_file():
        return Resumption()
    try:
        checkpoint = read_checkpoint(last)
    except UserError as error:
        raise UserError(f"The run cannot be resumed: {error} Start a new run with resume=never.") from error
    stored = checkpoint["mfer"]
    if stored.get("data_hash") != data_hash:
        raise UserError(
            f"The data have changed since {last.parent.parent} was started: faces, labels or splits differ. "
            "Start a new run with resume=never."
        )
    epochs = checkpoint.get("epoch", -1) + 1
    ended = any(
        limit is not None and done >= limit > 0
        for done, limit in ((epochs, max_epochs), (checkpoint.get("global_step", 0), max_steps))
    )
    return Resumption(str(last), _precision_of(stored), ended, epochs, stored.get("teachers"))


def _precision_of(stored: Mapping[str, Any]) -> str:
    """Read the precision from a checkpoint, or from its configuration if the checkpoint does not record it."""
    if isinstance(said := stored.get("precision"), str) and said:
        return said
    config = stored.get("config")
    return (configured_precision(config.get("trainer")) if isinstance(config, Mapping) else None) or _UNKNOWN


def mixed_arithmetic(precision: str) -> str | None:
    """Return a note if a run was trained in more than one precision; otherwise None.

    Example:
        >>> mixed_arithmetic("32-true") is None
        True
    """
    if _THEN not in precision:
        return None
    return (
        f"Trained in {precision}, because it was resumed on a machine where trainer.precision=auto selects a different "
        "precision. Set trainer.precision to use the same precision everywhere."
    )
