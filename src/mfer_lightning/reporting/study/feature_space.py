"""Measure the compactness of classes in feature space: tables of all runs, and the points to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.compactness import Compactness, compactness
from mfer_lightning.figures.plane import stratified_subset
from mfer_lightning.reporting.study.axes import simplicity
from mfer_lightning.reporting.study.method_table import MethodRow, method_table
from mfer_lightning.reporting.study.runs import Features
from mfer_lightning.reporting.study.sections import Method, Section
from mfer_lightning.reporting.study.tables import Column, Table, mean_of, spread

#: An annotation with more values than this is a measurement, not a subgroup.
MOST_VALUES = 6
#: A subgroup with fewer faces than this is not measured.
LEAST_FACES = 50

#: Measure -> heading and meaning.
_MEASURES = {
    "spread": ("spread within classes", "mean squared distance to the class mean, per dimension"),
    "distance": ("distance between classes", "mean squared distance between two class means, per dimension"),
    "ratio": ("spread / distance", "lower: more compact for the same separation; independent of scale"),
}

#: An annotation and one of its values.
Group = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Cloud:
    """The faces of one run that are drawn.

    Args:
        feature: (M,D) features.
        label: (M,) true classes.
        seed: seed of the run.
        plane: (M,2) t-SNE of these faces, if the run stored one, or None.
    """

    feature: NDArray[np.float32]
    label: NDArray[np.int64]
    seed: int
    plane: NDArray[np.floating] | None = None


@dataclass(eq=False)
class FeatureSpace:
    """Measures of the features of a section's runs. Only the features of the drawn faces are kept, to save memory.

    Args:
        overall: method label -> the measures of each seed.
        groups: method label -> the measures of each seed by subgroup.
        clouds: method label -> the faces of its first seed that are drawn.
    """

    overall: dict[str, list[Compactness]] = field(default_factory=dict)
    groups: dict[str, list[Mapping[Group, Compactness]]] = field(default_factory=dict)
    clouds: dict[str, Cloud] = field(default_factory=dict)


def measure_features(section: Section, points: int) -> FeatureSpace:
    """Measure the features of every run that stored them.

    Args:
        section: the methods.
        points: number of faces to draw from the first seed of each method; none if it is below the number of classes.
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
                space.clouds[method.label] = _cloud(found, points, run.seed)
    return space


def _cloud(found: Features, points: int, seed: int) -> Cloud:
    """Choose the faces to draw, from the faces that the run has embedded if there are enough."""
    known = np.flatnonzero(found.label >= 0)
    plane = found.plane
    if plane is not None and len(plane.rows) >= min(points, len(known)):
        chosen = stratified_subset(found.label[plane.rows], points)
        rows = plane.rows[chosen]
        return Cloud(found.feature[rows], found.label[rows], seed, plane.points[chosen])
    rows = known[stratified_subset(found.label[known], points)]
    return Cloud(found.feature[rows], found.label[rows], seed)


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
    """Make the table of the methods' feature spaces; None without any features."""

    def row(method: Method) -> MethodRow | None:
        measured = space.overall.get(method.label)
        if measured is None:
            return None
        values = {name: _values(measured, name) for name in _MEASURES}
        cells = [spread(found, unit=1.0, digits=3) for found in values.values()]
        return cells, {name: mean_of(found) for name, found in values.items()}

    columns = [Column(heading, numeric=True, about=about) for heading, about in _MEASURES.values()]
    caption = (
        "Measured on all faces in the full feature space, mean ± standard deviation over seeds. A loss that only "
        "shrinks the space lowers both measures without a gain; their ratio does not depend on scale."
    )
    title = "Compactness and separation of the features"
    return method_table(section, "compactness", title, columns, row, caption) if space.overall else None


def subgroup_table(section: Section, space: FeatureSpace) -> Table | None:
    """Make the table of spread / distance by annotated subgroup; None without annotations."""
    seen = {group for runs in space.groups.values() for run in runs for group in run}
    groups = {f"{n} {v}": (n, v) for n, v in sorted(seen, key=lambda group: (group[0], simplicity(group[1])))}

    def row(method: Method) -> MethodRow | None:
        runs = space.groups.get(method.label)
        if not runs:
            return None
        ratios = {name: _values([run[g] for run in runs if g in run], "ratio") for name, g in groups.items()}
        cells = [spread(found, unit=1.0, digits=3) for found in ratios.values()]
        return cells, {name: mean_of(found) for name, found in ratios.items()}

    columns = [Column(name, numeric=True) for name in groups]
    caption = (
        "Spread / distance within each annotated subgroup (lower: more compact for the same separation), mean ± "
        f"standard deviation over seeds; subgroups of fewer than {LEAST_FACES} faces are left out. Compare within a "
        "column: a small subgroup looks better separated than it is, because its class means are noisy."
    )
    return method_table(section, "subgroups", "Compactness by subgroup", columns, row, caption) if groups else None


def _values(measured: Sequence[Compactness], name: str) -> list[float]:
    return [float(value) for m in measured if (value := getattr(m, name)) is not None]
