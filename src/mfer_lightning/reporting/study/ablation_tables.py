"""Make the ablation tables for each pair of axes, and the table of recalls by class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.reporting.study.axes import Axis, simplicity
from mfer_lightning.reporting.study.method_table import MethodRow, method_table
from mfer_lightning.reporting.study.method_tables import SHARES
from mfer_lightning.reporting.study.sections import Method, Section
from mfer_lightning.reporting.study.tables import NOTHING, Cell, Column, Number, Table, mean_of, spread

#: Maximum number of axes to cross.
MOST_AXES = 4
#: Tables with more columns than this, or with mostly empty cells, are unreadable.
MOST_COLUMNS = 12
_MARKS = {"better": " ▲", "worse": " ▼"}


def ablation_tables(section: Section, metric: str, asked: Sequence[str] = ()) -> list[Table]:
    """Make tables for each pair of axes: rows and columns are their values, cells are means over seeds.

    The other axes are held constant. There is one table per combination of their values, starting with that of the
    baseline, and at most four per pair. A table is left out if it has only one row or column, too many columns or
    mostly empty cells.

    Args:
        section: the methods.
        metric: the metric.
        asked: titles or keys of the axes to cross; empty: the first four.
    """
    axes = [a for a in section.axes if a.title in asked or a.key in asked] if asked else list(section.axes[:MOST_AXES])
    tables = []
    for first, second in combinations(axes, 2):
        places = section.axes.index(first), section.axes.index(second)
        rest = [i for i in range(len(section.axes)) if i not in places]
        groups: dict[tuple[str, ...], list[Method]] = {}
        for method in section.methods:
            groups.setdefault(tuple(method.values[i] for i in rest), []).append(method)
        home = tuple(section.baseline.values[i] for i in rest) if section.axes else ()
        ordered = sorted(groups.items(), key=lambda item: (item[0] != home, [simplicity(v) for v in item[0]]))
        for held, methods in [item for item in ordered if _crossed(item[1], places)][:4]:
            fixed = [(section.axes[i].title, value) for i, value in zip(rest, held, strict=True)]
            tables.append(_ablation(section, metric, (first, second), places, methods, fixed))
    return tables


def _crossed(methods: Sequence[Method], places: tuple[int, int]) -> bool:
    rows, columns = (len({m.values[i] for m in methods}) for i in places)
    return rows > 1 and 1 < columns <= MOST_COLUMNS and 2 * len(methods) >= rows * columns


def _ablation(
    section: Section,
    metric: str,
    axes: tuple[Axis, Axis],
    places: tuple[int, int],
    methods: Sequence[Method],
    held: Sequence[tuple[str, str]],
) -> Table:
    rows_of, columns_of = (sorted({m.values[i] for m in methods}, key=simplicity) for i in places)
    cells = {(m.values[places[0]], m.values[places[1]]): m for m in methods}
    rows = []
    data: list[dict[str, Number]] = []
    for row in rows_of:
        line, plain = [Cell(row)], dict[str, Number]({axes[0].title: row})
        for column in columns_of:
            method = cells.get((row, column))
            values = method.figures(metric) if method else []
            comparison = section.comparisons.get(method.label) if method else None
            verdict = comparison.verdict if comparison and comparison.verdict in _MARKS else ""
            kind = "baseline" if method is section.baseline else verdict
            found = spread(values)
            line.append(Cell(found.text + _MARKS.get(kind, ""), found.sort, kind))
            plain[f"{axes[1].title}={column}"] = mean_of(values)
        rows.append(tuple(line))
        data.append(plain)
    where = f" ({', '.join(f'{k}={v}' for k, v in held)})" if held else ""
    name = "-".join(_plain(part) for part in ("ablation", *(a.title for a in axes), *(v for _, v in held)))
    return Table(
        name,
        f"{axes[0].title} by {axes[1].title}{where}: {SHARES.get(metric, metric)}",
        (Column(f"{axes[0].title} \\ {axes[1].title}"), *(Column(c, numeric=True) for c in columns_of)),
        tuple(rows),
        "Mean ± standard deviation over seeds; ▲ better and ▼ worse than the baseline.",
        tuple(data),
    )


def class_table(section: Section) -> Table:
    """Make the table of the mean recall of each class with its interval."""
    faces = dict(zip(section.class_names, section.support, strict=True))

    def row(method: Method) -> MethodRow:
        cells: list[Cell] = []
        data: dict[str, Number] = {}
        for name, n in faces.items():
            mean = mean_of(recalls(method, name))
            low, high = (None, None) if mean is None or n < 1 else wilson(round(mean * n), n)
            below = "" if low is None or high is None else f"{100 * low:.0f} to {100 * high:.0f}"
            cells.append(Cell(NOTHING) if mean is None else Cell(f"{100 * mean:.1f}", mean, below=below))
            data |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        return cells, data

    caption = (
        "Mean recall over seeds in per cent. Below it is Wilson's 95% interval for one network with this recall "
        "on the number of faces in brackets after the class."
    )
    columns = [Column(f"{name} ({n:,})", numeric=True) for name, n in faces.items()]
    return method_table(section, "recall", "Recall of each class", columns, row, caption)


def recalls(method: Method, class_name: str) -> list[float]:
    """Return the recall of a class for each seed that has one."""
    found = [run.result["per_class"][class_name]["recall"] for run in method.runs]
    return [float(value) for value in found if value is not None]


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text.lower())
