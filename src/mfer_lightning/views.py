"""Test-time augmentation: average the predictions for several views of a face. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from mfer_lightning.errors import UserError, printable

#: A batch of images whose last two dimensions are height and width: a NumPy array or a torch tensor.
Pictures = TypeVar("Pictures")

#: The largest shift, as a fraction of the image side; a larger shift would move parts of the face out of the crop.
LARGEST_SHIFT = 0.25

_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True)
class Views:
    """The views averaged for one prediction, in addition to the original face.

    Args:
        flip: add the mirrored face.
        shift: add four copies shifted towards the corners by this fraction of the side, within [0, 0.25]; 0: none. The
            value is rounded to four decimal places and applied in whole pixels, at least one. Missing pixels repeat the
            border. With ``flip``, each copy is also mirrored.

    Raises:
        ValueError: if the shift is not a number or is out of range.

    Example:
        >>> Views(flip=True).count, Views(shift=0.02).count, Views(flip=True, shift=0.02).count
        (2, 5, 10)
        >>> [view.tolist() for view in Views(flip=True).of(np.array([[1, 2], [3, 4]]))]
        [[[1, 2], [3, 4]], [[2, 1], [4, 3]]]
    """

    flip: bool = False
    shift: float = 0.0

    def __post_init__(self) -> None:
        given: Any = self.shift
        if type(given) is bool or not isinstance(given, Real) or not 0 <= self.shift <= LARGEST_SHIFT:
            raise ValueError(
                f"Expected argument `shift` to be a number within [0, {LARGEST_SHIFT:g}], but got "
                f"{printable(repr(given)[:80])}."
            )
        object.__setattr__(self, "shift", round(float(given), 4))

    @classmethod
    def of_metadata(cls, said: Mapping[str, Any], flip: bool | None = None, shift: float | None = None) -> Views:
        """Return the views that a checkpoint was evaluated with, unless the caller sets others.

        Args:
            said: metadata of a model; older models do not store a shift.
            flip: the caller's setting; None: that of the metadata.
            shift: the caller's setting; None: that of the metadata.

        Raises:
            ValueError: if the shift is out of range.
        """
        return cls(
            bool(said.get("flip", False)) if flip is None else flip, said.get("shift", 0.0) if shift is None else shift
        )

    @property
    def count(self) -> int:
        """Number of views per face, including the original."""
        return (1 + self.flip) * (5 if self.shift else 1)

    @property
    def mark(self) -> str:
        """Suffix of result folders, e.g. ``-flip-shift0.02``; empty for the original face alone."""
        return ("-flip" if self.flip else "") + (f"-shift{self.shift:g}" if self.shift else "")

    @property
    def words(self) -> str:
        """Description of the averaged views; empty for the original face alone."""
        moved = f"four copies shifted towards the corners by {100 * self.shift:g}% of the side (at least one pixel)"
        if self.flip and self.shift:
            return f"averaged with {moved} and with the mirror images of all five"
        return f"averaged with {moved}" if self.shift else "averaged with the mirrored face" if self.flip else ""

    def to_config(self) -> dict[str, Any]:
        """Return plain values for metadata and results."""
        return {"flip": self.flip, "shift": self.shift}

    def of(self, pictures: Pictures) -> Iterator[Pictures]:
        """Yield the views one after another, the original images first.

        Args:
            pictures: (..., H, W), an array or a tensor; the views have the same shape.
        """
        for down, right in ((0, 0), *(_CORNERS if self.shift else ())):
            view = self._moved(pictures, down, right) if down else pictures
            yield view
            if self.flip:
                yield _mirrored(view)

    def average(self, predict: Callable[[Pictures], Mapping[str, Any]], pictures: Pictures) -> dict[str, Any]:
        """Average the predictions for the views.

        Args:
            predict: function from a batch of images to named arrays or tensors.
            pictures: (B,...,H,W).

        Returns:
            The mean of each named output over the views.
        """
        total: dict[str, Any] = {}
        for view in self.of(pictures):
            for name, value in predict(view).items():
                total[name] = total[name] + value if name in total else value
        return {name: value / self.count for name, value in total.items()} if self.count > 1 else total

    def _moved(self, pictures: Pictures, down: int, right: int) -> Pictures:
        height, width = pictures.shape[-2:]  # type: ignore[attr-defined]
        rows = np.clip(np.arange(height) - down * max(1, round(self.shift * height)), 0, height - 1)
        columns = np.clip(np.arange(width) - right * max(1, round(self.shift * width)), 0, width - 1)
        return pictures[..., rows, :][..., columns]  # type: ignore[index, no-any-return]


def _mirrored(pictures: Any) -> Any:
    return pictures.flip(-1) if hasattr(pictures, "flip") else pictures[..., ::-1]  # tensors reject negative steps


#: The original face alone, without averaging.
ONE_VIEW = Views()


def check_shift(shift: float | None) -> None:
    """Reject a value of the option ``shift`` that is out of range; None is legal and means the stored value.

    Raises:
        UserError: if it is outside [0, 0.25].
    """
    if shift is not None and not 0 <= shift <= LARGEST_SHIFT:
        raise UserError(
            f"shift={shift:g}: the value must be a fraction of the image side from 0 (no shift) to {LARGEST_SHIFT:g}, "
            "e.g. 0.02 (one pixel of 48)."
        )
