"""Represent tables as data: their content, not their looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mfer_lightning.evaluation.statistics.seeds import mean_and_spread

#: What stands if there is no figure.
NOTHING = "–"

Number = int | float | str | None


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: what readers see.
        sort: what the table is sorted by; None: the text.
        kind: what it is, for its looks: empty, ``better``, ``worse``, ``tie``, ``undecided``, ``baseline``, ``quiet``.
        below: a second, smaller line.
        interval: low, middle and high of a small drawing, or None.
    """

    text: str
    sort: float | None = None
    kind: str = ""
    below: str = ""
    interval: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        title: heading.
        numeric: whether cells are numbers, set flush right.
        about: what the heading means, in a sentence.
    """

    title: str
    numeric: bool = False
    about: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its heading.

    Args:
        name: for files and links.
        title: heading.
        columns: at least one.
        rows: one cell a column.
        caption: what a reader must know of it.
        data: the same as plain numbers, for the CSV file; empty: the texts.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    data: tuple[Mapping[str, Number], ...] = ()

    @property
    def reach(self) -> tuple[float, float]:
        """Range of all drawn intervals, with 0 in it."""
        ends = [end for row in self.rows for cell in row if cell.interval for end in cell.interval]
        return min([0.0, *ends]), max([0.0, *ends])


def share(value: float | None, digits: int = 2) -> Cell:
    """Write a share in per cent."""
    return Cell(NOTHING) if value is None else Cell(f"{100 * value:.{digits}f}", value)


def spread(values: Sequence[float], unit: float = 100.0, digits: int = 2) -> Cell:
    """Write mean and sample standard deviation; one value has no spread.

    Example:
        >>> spread([0.90, 0.92]).text, spread([0.9]).text, spread([]).text
        ('91.00 ± 1.41', '90.00', '–')
    """
    text = mean_and_spread(values, unit, digits)
    return Cell(text, float((unit * np.asarray(values, dtype=np.float64)).mean()) if values else None)


def mean_of(values: Sequence[float]) -> float | None:
    """Mean, or None of nothing."""
    return float(np.mean(values)) if values else None


def deviation_of(values: Sequence[float]) -> float | None:
    """Sample standard deviation, or None of fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
