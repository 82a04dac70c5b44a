"""Represent tables as data, independent of their layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mfer_lightning.evaluation.statistics.seeds import mean_and_spread

#: Text of a missing value.
NOTHING = "–"

Number = int | float | str | None


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: displayed text.
        sort: sort key; None: the text.
        kind: kind of content, for its style: empty, ``better``, ``worse``, ``tie``, ``undecided``, ``baseline``,
            ``quiet``.
        below: a second, smaller line.
        interval: lower bound, estimate and upper bound, drawn as a small interval; None: no drawing.
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
        numeric: whether cells are numbers, which are aligned to the right.
        about: explanation of the heading, in a sentence.
    """

    title: str
    numeric: bool = False
    about: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its heading.

    Args:
        name: name for files and links.
        title: heading.
        columns: at least one.
        rows: rows with one cell per column.
        caption: explanation of the table.
        data: the unformatted values of each row, for the CSV file; empty: the file contains the displayed text.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    data: tuple[Mapping[str, Number], ...] = ()

    @property
    def reach(self) -> tuple[float, float]:
        """Range of all drawn intervals, including 0."""
        ends = [end for row in self.rows for cell in row if cell.interval for end in cell.interval]
        return min([0.0, *ends]), max([0.0, *ends])


def share(value: float | None, digits: int = 2) -> Cell:
    """Format a proportion in per cent."""
    return Cell(NOTHING) if value is None else Cell(f"{100 * value:.{digits}f}", value)


def spread(values: Sequence[float], unit: float = 100.0, digits: int = 2) -> Cell:
    """Format mean and sample standard deviation; a single value has none.

    Example:
        >>> spread([0.90, 0.92]).text, spread([0.9]).text, spread([]).text
        ('91.00 ± 1.41', '90.00', '–')
    """
    text = mean_and_spread(values, unit, digits)
    return Cell(text, float((unit * np.asarray(values, dtype=np.float64)).mean()) if values else None)


def mean_of(values: Sequence[float]) -> float | None:
    """Return the mean, or None without values."""
    return float(np.mean(values)) if values else None


def deviation_of(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation, or None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
