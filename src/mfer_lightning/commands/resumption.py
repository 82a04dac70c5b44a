"""Whether an unfinished run can be continued here, and in what arithmetic it was trained so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import read_checkpoint

_THEN = ", then "


@dataclass(frozen=True)
class Resumption:
    """Where a training goes on.

    Args:
        checkpoint: the last whole epoch's; None: the training starts afresh.
        precision: the arithmetic of its epochs, as its checkpoint tells it; None where there are none, or where the
            checkpoint was made before it was recorded.
    """

    checkpoint: str | None = None
    precision: str | None = None

    def with_precision(self, now: str) -> str:
        """Say in what arithmetic the run will have been trained.

        Args:
            now: the arithmetic on this machine, e.g. ``"bf16-mixed"``.

        Example:
            >>> Resumption().with_precision("32-true")
            '32-true'
            >>> Resumption("last.ckpt", "bf16-mixed").with_precision("32-true")
            'bf16-mixed, then 32-true'
        """
        if self.precision is None or self.precision.split(_THEN)[-1] == now:
            return self.precision or now
        return f"{self.precision}{_THEN}{now}"


def resumption(last: Path, data_hash: str) -> Resumption:
    """Look at the last checkpoint of a run, and whether the training can go on from it.

    Args:
        last: ``checkpoints/last.ckpt`` of the run, which need not be there.
        data_hash: of the faces, labels and splits in use now.

    Raises:
        UserError: where the checkpoint cannot be read, or the data are not those that it was trained on.
    """
    if not last.is_file():
        return Resumption()
    try:
        stored = read_checkpoint(last)["mfer"]
    except UserError as error:
        raise UserError(f"The run cannot be continued: {error} Start a fresh run with resume=never.") from error
    if stored.get("data_hash") != data_hash:
        raise UserError(
            f"The data have changed since {last.parent.parent} was started: other faces, labels or splits. "
            "Start a fresh run with resume=never."
        )
    precision = stored.get("precision")
    return Resumption(str(last), precision if isinstance(precision, str) else None)


def mixed_arithmetic(precision: str) -> str | None:
    """Say so in a sentence where a run was trained in more than one arithmetic; None where it was not.

    Example:
        >>> mixed_arithmetic("32-true") is None
        True
    """
    if _THEN not in precision:
        return None
    return (
        f"Trained in {precision}, since it was continued on another machine, where trainer.precision=auto means "
        "something else: set trainer.precision to have one arithmetic everywhere."
    )
