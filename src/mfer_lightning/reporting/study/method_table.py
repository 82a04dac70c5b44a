"""Build tables with one row per method; each row starts with the method's values on the axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mfer_lightning.reporting.study.axes import as_number
from mfer_lightning.reporting.study.sections import Method, Section
from mfer_lightning.reporting.study.tables import Cell, Column, Number, Table

#: A method's cells after those of its axes, and their unformatted values by name.
MethodRow = tuple[Sequence[Cell], Mapping[str, Number]]


def method_table(
    section: Section,
    name: str,
    title: str,
    columns: Sequence[Column],
    row: Callable[[Method], MethodRow | None],
    caption: str,
) -> Table:
    """Make a table of the methods of a section.

    Args:
        section: the methods.
        name: name of the table, for files and links.
        title: heading.
        columns: the columns after the axes.
        row: returns the cells of a method; None to leave it out.
        caption: explanation of the table.
    """
    axes = tuple(Column(axis.title) for axis in section.axes) or (Column("method"),)
    rows, data = [], []
    for method in section.methods:
        found = row(method)
        if found is None:
            continue
        values = tuple(Cell(value, as_number(value)) for value in method.values) or (Cell(method.label),)
        named: dict[str, Number] = {a.title: v for a, v in zip(section.axes, method.values, strict=True)}
        rows.append((*values, *found[0]))
        data.append({**(named or {"method": method.label}), **found[1]})
    return Table(name, title, (*axes, *columns), tuple(rows), caption, tuple(data))
