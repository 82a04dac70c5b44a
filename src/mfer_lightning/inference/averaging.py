"""What ``mfer evaluate`` and ``mfer predict`` may be told to average, looked at before anything is opened."""

from __future__ import annotations

from mfer_lightning.errors import UserError
from mfer_lightning.views import LARGEST_SHIFT


def check_shift(shift: float | None) -> None:
    """Refuse a shift that is no small share of a face's side.

    Raises:
        UserError: saying what is legal.
    """
    if shift is not None and not 0 <= shift <= LARGEST_SHIFT:
        raise UserError(
            f"shift={shift:g}: a face is moved by a share of its side, from 0 (not at all) to {LARGEST_SHIFT:g}, "
            "e.g. 0.02 (one pixel of 48)."
        )
