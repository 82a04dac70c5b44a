"""How the classes lie in feature space: measures of every run, and the points that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.compactness import Compactness, compactness
from mfer_lightning.figures.embedding import stratified_subset
from mfer_lightning.report.study.axes import simplicity
from mfer_lightning.report.study.columns import axis_cells, axis_columns, axis_data
from mfer_lightning.report.study.runs import Features
from mfer_lightning.report.study.sections import Section
from mfer_lightning.report.study.tables import Cell, Column, Table, mean_of, spread

#: An annotation with more values than this is no subgroup but a measurement.
MOST_VALUES = 6
#: A subgroup with fewer faces than this is not measured.
LEAST_FACES = 50

#: An annotation and one of its values.
Group = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Cloud:
    """The faces of one run that are drawn.

    Args:
        feature: (M,D).
        label: (M,).
        seed: of the run.
    """

    feature: NDArray[np.float32]
    label: NDArray[np.int64]
    seed: int


@dataclass(eq=False)
class FeatureSpace:
    """What the features of a section's runs say; features themselves are large and not kept.

    Args:
        overall: method label -> the measures of each seed.
        groups: method label -> those of each seed by subgroup.
        clouds: method label -> the faces of its first seed that are drawn.
    """

    overall: dict[str, list[Compactness]] = field(default_factory=dict)
    groups: dict[str, list[Mapping[Group, Compactness]]] = field(default_factory=dict)
    clouds: dict[str, Cloud] = field(default_factory=dict)


def measure_features(section: Section, points: int) -> FeatureSpace:
    """Measure the features of every run that stored them.

    Args:
        section: the methods.
        points: faces to draw of each method's first seed; 0 or fewer than classes: none.
    """
    space = FeatureSpace()
    for method in section.methods:
        for run in method.runs:
            found = run.features()
            if found is None:
                continue
            space.overall.setdefault(method.label, []).append(compactness(found.feature, found.label))
            space.groups.setdefault(method.label, []).append(_by_group(found))
            if method.label not in space.clouds and points >= len(section.class_names):
                known = np.flatnonzero(found.label >= 0)
                rows = known[stratified_subset(found.label[known], points)]
                space.clouds[method.label] = Cloud(found.feature[rows], found.label[rows], run.seed)
    return space


def _by_group(found: Features) -> dict[Group, Compactness]:
    measured = {}
    for name, column in found.attributes.items():
        words = column.astype(str)
        values = np.unique(words)
        for value in values.tolist() if 2 <= len(values) <= MOST_VALUES else ():
            mine = (words == value) & (found.label >= 0)
            if mine.sum() >= LEAST_FACES:
                measured[name, value.lower()] = compactness(found.feature[mine], found.label[mine])
    return measured


def compactness_table(section: Section, space: FeatureSpace) -> Table | None:
    """Methods with the measures of their feature space, None without any features."""
    methods = [m for m in section.methods if m.label in space.overall]
    if not methods:
        return None
    columns = (
        *axis_columns(section),
        Column("spread within classes", numeric=True, about="mean squared distance to the class mean, a dimension"),
        Column("distance between classes", numeric=True, about="mean squared distance of two class means, a dimension"),
        Column("spread / distance", numeric=True, about="lower: more compact for the same separation; free of scale"),
    )
    rows = tuple((*axis_cells(section, m), *_cells(space.overall[m.label])) for m in methods)
    data = tuple(
        axis_data(section, m) | {name: mean_of(_values(space.overall[m.label], name)) for name in _NAMES}
        for m in methods
    )
    caption = (
        "Measured on all faces in the whole feature space, mean ± standard deviation over seeds. A loss that only "
        "shrinks the space lowers both measures and gains nothing: their quotient does not change with scale."
    )
    return Table("compactness", "Compactness and separation of the features", columns, rows, caption, data)


def subgroup_table(section: Section, space: FeatureSpace) -> Table | None:
    """Methods (rows) and annotated subgroups (columns): spread / distance; None without annotations."""
    seen = {group for runs in space.groups.values() for run in runs for group in run}
    groups = sorted(seen, key=lambda group: (group[0], simplicity(group[1])))
    methods = [m for m in section.methods if space.groups.get(m.label)]
    if not groups or not methods:
        return None
    columns = (*axis_columns(section), *(Column(f"{name} {value}", numeric=True) for name, value in groups))
    rows, data = [], []
    for method in methods:
        found = {g: [run[g] for run in space.groups[method.label] if g in run] for g in groups}
        ratios = {g: _values(measured, "ratio") for g, measured in found.items()}
        rows.append((*axis_cells(section, method), *(spread(r, unit=1.0, digits=3) for r in ratios.values())))
        data.append(axis_data(section, method) | {f"{n} {v}": mean_of(r) for (n, v), r in ratios.items()})
    caption = (
        "Spread / distance within each annotated subgroup (lower: more compact for the same separation), mean ± "
        f"standard deviation over seeds; subgroups of fewer than {LEAST_FACES} faces are left out. Compare down a "
        "column: a small subgroup looks better separated than it is, since its class means are noisy."
    )
    return Table("subgroups", "Compactness by subgroup", columns, tuple(rows), caption, tuple(data))


_NAMES = ("spread", "distance", "ratio")


def _values(measured: Sequence[Compactness], name: str) -> list[float]:
    return [float(value) for m in measured if (value := getattr(m, name)) is not None]


def _cells(measured: Sequence[Compactness]) -> tuple[Cell, ...]:
    return tuple(spread(_values(measured, name), unit=1.0, digits=3) for name in _NAMES)
