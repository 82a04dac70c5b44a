"""The leading columns of every table: what a method is."""

from __future__ import annotations

from mfer_lightning.report.study.sections import Method, Section
from mfer_lightning.report.study.tables import Cell, Column, Number


def axis_columns(section: Section) -> tuple[Column, ...]:
    """One column an axis; where nothing varies, one for the method's name."""
    return tuple(Column(axis.title) for axis in section.axes) or (Column("method"),)


def axis_cells(section: Section, method: Method) -> tuple[Cell, ...]:
    """The values of a method in these columns."""
    return tuple(Cell(value, _number(value)) for value in method.values) or (Cell(method.label),)


def axis_data(section: Section, method: Method) -> dict[str, Number]:
    """The same by name, for data."""
    named: dict[str, Number] = {a.title: v for a, v in zip(section.axes, method.values, strict=True)}
    return named or {"method": method.label}


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number == number else None
