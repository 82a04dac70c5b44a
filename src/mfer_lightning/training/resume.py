"""Decide whether an unfinished run can be continued here, and record the precisions it was trained in."""

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
    """Where a training goes on.

    Args:
        checkpoint: the last whole epoch's; None: the training starts afresh.
        precision: the arithmetic of its epochs, ``"unknown"`` where the checkpoint does not say it; None if there
            are none.
        ended: whether all epochs are trained, and only the evaluation is left.
        epochs: that are trained already.
        teachers: records of the models that it learns from, as the checkpoint holds them.
    """

    checkpoint: str | None = None
    precision: str | None = None
    ended: bool = False
    epochs: int = 0
    teachers: Any = None

    def with_precision(self, now: str) -> str:
        """Say in what arithmetic the run will have been trained.

        Args:
            now: the arithmetic here, e.g. ``"bf16-mixed"``.

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
    """Look at the last checkpoint of a run, and whether the training can go on from it.

    Args:
        last: ``checkpoints/last.ckpt`` of the run, which need not be there.
        data_hash: of the faces, labels and splits in use now.
        max_epochs: of the run; None: no limit.
        max_steps: of the run; None or -1: no limit.

    Raises:
        UserError: if the checkpoint cannot be read, or the data are not those that it was trained on.
    """
    if not last.is_file():
        return Resumption()
    try:
        checkpoint = read_checkpoint(last)
    except UserError as error:
        raise UserError(f"The run cannot be continued: {error} Start a fresh run with resume=never.") from error
    stored = checkpoint["mfer"]
    if stored.get("data_hash") != data_hash:
        raise UserError(
            f"The data have changed since {last.parent.parent} was started: other faces, labels or splits. "
            "Start a fresh run with resume=never."
        )
    epochs = checkpoint.get("epoch", -1) + 1
    ended = any(
        limit is not None and done >= limit > 0
        for done, limit in ((epochs, max_epochs), (checkpoint.get("global_step", 0), max_steps))
    )
    return Resumption(str(last), _precision_of(stored), ended, epochs, stored.get("teachers"))


def _precision_of(stored: Mapping[str, Any]) -> str:
    """Read the arithmetic off a checkpoint; off its configuration where that was made before it was recorded."""
    if isinstance(said := stored.get("precision"), str) and said:
        return said
    config = stored.get("config")
    return (configured_precision(config.get("trainer")) if isinstance(config, Mapping) else None) or _UNKNOWN


def mixed_arithmetic(precision: str) -> str | None:
    """Say so in a sentence where a run was trained in more than one arithmetic; None if it was not.

    Example:
        >>> mixed_arithmetic("32-true") is None
        True
    """
    if _THEN not in precision:
        return None
    return (
        f"Trained in {precision}, since it was continued where trainer.precision=auto means something else than where "
        "it was begun: set trainer.precision to have one arithmetic everywhere."
    )
