"""Group runs into methods with several seeds, and methods into sections measured on the same faces."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mfer_lightning.errors import UserError, nearest
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.runs import LeftOut
from mfer_lightning.evaluation.statistics import MethodComparison
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.study.axes import ABSENT, Axis, Flat, as_number, find_axes, in_words, simplicity, title_of
from mfer_lightning.reporting.study.choices import named_by_choice
from mfer_lightning.reporting.study.provenance import unlike_arithmetic
from mfer_lightning.reporting.study.runs import Run

#: Options of a synthetic dataset that change its test faces, so runs with different values are in different sections.
DRAWN = ("data_seed", "difficulty", "ambiguity", "occlusion")


@dataclass(frozen=True, eq=False)
class Method:
    """Runs that differ only in their seed.

    Args:
        values: one per axis of the section.
        label: the axes and values, e.g. ``"loss=dsf, attention=ds"``.
        short: the values, for figures; numbers and booleans with the name of their axis.
        runs: one per seed, sorted by seed.
        flat: configuration of the method as text, with parts named by their choices.
    """

    values: tuple[str, ...]
    label: str
    short: str
    runs: tuple[Run, ...]
    flat: Flat

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.runs)

    @property
    def tables(self) -> list[Predictions]:
        """The prediction tables of the seeds that have one."""
        return [run.table for run in self.runs if run.table is not None]

    def figures(self, name: str) -> list[float]:
        """Return a metric of each seed that has it."""
        return [value for run in self.runs if (value := run.metric(name)) is not None]


@dataclass(eq=False)
class Section:
    """Methods measured on the same faces under the same protocol; only these may share a column.

    Args:
        protocol: ``dataset@protocol``.
        split: the measured split.
        title: protocol and split, and the difference from other sections with the same protocol and split.
        slug: name for files and links.
        evaluation_set: description of the measured faces.
        class_names: the K classes.
        support: number of faces of each class.
        axes: options in which the methods differ.
        methods: the methods, the simplest values first.
        baseline: method that the others are compared with.
        baseline_chosen: whether the user named it.
        comparisons: method label -> its comparison with the baseline, Holm-corrected.
        notes: remarks for the reader.
    """

    protocol: str
    split: str
    title: str
    slug: str
    evaluation_set: str
    class_names: tuple[str, ...]
    support: tuple[int, ...]
    axes: tuple[Axis, ...]
    methods: tuple[Method, ...]
    baseline: Method
    baseline_chosen: bool
    comparisons: dict[str, MethodComparison] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for method in self.methods for run in method.runs]

    @property
    def n(self) -> int:
        """Number of measured faces."""
        return sum(self.support)

    @property
    def marked(self) -> bool:
        """Whether the results were measured on a split used for training or for selecting the checkpoint."""
        return self.split != "test"


def make_sections(runs: Sequence[Run], baseline: str | None = None) -> tuple[list[Section], list[LeftOut]]:
    """Group runs into sections and methods.

    Args:
        runs: at least one.
        baseline: ``axis=value`` pairs, comma-separated; None: the simplest method of each section.

    Returns:
        The sections, first those with training runs, then by decreasing number of runs; and the runs left out as
        repetitions of a seed.

    Raises:
        UserError: if no section has such a baseline, or it cannot be parsed.
    """
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(_measured_on(run), []).append(run)
    wanted = None if baseline is None else parse_baseline(baseline)
    sections: list[Section] = []
    left_out: list[LeftOut] = []
    told: list[str] = []
    ordered = sorted(groups.items(), key=_rank)
    titles = _titles([key for key, _ in ordered])
    for (_, members), title in zip(ordered, titles, strict=True):
        flats = named_by_choice(members)
        axes = find_axes(flats)
        methods, repeated = _methods(members, flats, axes)
        left_out += repeated
        chosen = _choose(methods, axes, wanted)
        told += [] if chosen else [f"{title}: {_legal(methods, axes)}"]
        sections.append(_section(title, members[0].result, axes, methods, chosen))
        taken = [s.slug for s in sections[:-1]]
        if sections[-1].slug in taken:
            sections[-1].slug += f"-{len(sections)}"
    if wanted is not None and not any(section.baseline_chosen for section in sections):
        raise UserError(f"No method matches baseline={baseline}. The runs have: {'; '.join(told)}.")
    return sections, left_out


def parse_baseline(text: str) -> dict[str, str]:
    """Split ``axis=value`` pairs.

    Example:
        >>> parse_baseline("loss=ce, attention=none")
        {'loss': 'ce', 'attention': 'none'}
    """
    found = dict(part.strip().split("=", 1) for part in text.split(",") if part.count("=") >= 1)
    if not found or len(found) != len([part for part in text.split(",") if part.strip()]):
        raise UserError(
            f"baseline={text} is not a list of axis=value pairs. "
            "Write baseline=loss=ce or 'baseline=loss=ce,attention=none'."
        )
    return {key.strip(): value.strip() for key, value in found.items()}


def _measured_on(run: Run) -> tuple[Any, ...]:
    result = run.result
    supports = tuple(figures["n"] for figures in result["per_class"].values())
    drawn: tuple[tuple[str, str], ...] = ()
    if result["dataset"] == "facs":
        spec = result.get("data") or run.config.get("dataset") or {}
        if isinstance(spec, Mapping):
            drawn = tuple((title_of(key), in_words(spec[key])) for key in DRAWN if key in spec)
    names = tuple(map(str, result["class_names"]))
    return result["protocol"], result["split"], result["evaluation_set"], names, supports, drawn


def _rank(group: tuple[tuple[Any, ...], list[Run]]) -> tuple[Any, ...]:
    """Sort sections: those with training runs first, then by decreasing number of runs, then by name."""
    key, members = group
    evaluated = not any(run.trained for run in members)
    return evaluated, -len(members), *key[:2], [simplicity(value) for _, value in key[5]]


def _titles(keys: Sequence[tuple[Any, ...]]) -> list[str]:
    """Name each section by protocol and split, and by its difference from other sections with the same two."""
    found = []
    for key in keys:
        title = f"{key[0]}, {key[1]}"
        rivals = [other for other in keys if other[:2] == key[:2] and other != key]
        if rivals:
            ours = dict(key[5])
            told = [
                f"{name} {value}"
                for name, value in ours.items()
                if any(dict(other[5]).get(name) != value for other in rivals)
            ]
            missing = {name for other in rivals for name in dict(other[5])} - set(ours)
            told += [f"default {name}" for name in sorted(missing)]
            if not told:
                told = [counted(sum(key[4]), "face"), *([f"{key[2]}"] if any(r[2] != key[2] for r in rivals) else [])]
            title += f" ({', '.join(told)})"
        found.append(title)
    return [t if found.count(t) == 1 else f"{t} [{found[:i].count(t) + 1}]" for i, t in enumerate(found)]


def _methods(
    runs: Sequence[Run], flats: Sequence[Flat], axes: Sequence[Axis]
) -> tuple[tuple[Method, ...], list[LeftOut]]:
    groups: dict[tuple[tuple[str, str], ...], dict[int, Run]] = {}
    repeated: list[LeftOut] = []
    for run, named in zip(runs, flats, strict=True):
        seeds = groups.setdefault(tuple(sorted(named.items())), {})
        if run.seed in seeds:
            first = seeds[run.seed].folder.name
            repeated.append(LeftOut(run.folder, f"repeats the configuration and seed of {first}"))
        else:
            seeds[run.seed] = run
    methods = []
    for flat, seeds in groups.items():
        found = dict(flat)
        values = tuple(found.get(axis.key, ABSENT) for axis in axes)
        label = ", ".join(f"{axis.title}={value}" for axis, value in zip(axes, values, strict=True)) or _only(found)
        short = _short(axes, values) or label
        methods.append(Method(values, label, short, tuple(seeds[seed] for seed in sorted(seeds)), found))
    if len({method.short for method in methods}) < len(methods):  # figures refer to methods by these names
        methods = [replace(m, short=_short(axes, m.values, most=1000) or m.label) for m in methods]
    return tuple(sorted(methods, key=lambda method: [simplicity(value) for value in method.values])), repeated


def _short(axes: Sequence[Axis], values: Sequence[str], most: int = 24) -> str:
    """Name a method in figures by its values, shortened if long; numbers and booleans with the name of their axis.

    Example:
        >>> _short([Axis("loss.name", "loss"), Axis("evaluation.shift", "shift")], ["ce", "0.02"])
        'ce · shift 0.02'
    """
    cut = [value if len(value) < most else f"{value[: most - 3]}..." for value in values]
    bare = [as_number(v) is not None or v in ("true", "false", ABSENT) for v in values]
    return " · ".join(f"{a.title} {v}" if b else v for a, v, b in zip(axes, cut, bare, strict=True))


def _only(flat: Mapping[str, str]) -> str:
    """Name the only method of a section by its main choices."""
    names = [flat[key].rpartition("/")[2] for key in ("loss.name", "attention.name", "backbone.name") if key in flat]
    return " · ".join(names) or "all runs"


def _choose(methods: Sequence[Method], axes: Sequence[Axis], wanted: Mapping[str, str] | None) -> Method | None:
    """Find the requested baseline: the simplest method with all the requested values."""
    if wanted is None:
        return None
    names = {name: place for place, axis in enumerate(axes) for name in (axis.key, axis.title)}
    if any(name not in names for name in wanted):
        return None
    return next((m for m in methods if all(m.values[names[k]] == v for k, v in wanted.items())), None)


def _legal(methods: Sequence[Method], axes: Sequence[Axis]) -> str:
    words = [f"{a.title}={'|'.join(dict.fromkeys(m.values[i] for m in methods))}" for i, a in enumerate(axes)]
    return ", ".join(words) or "one method only"


def _section(
    title: str, result: Mapping[str, Any], axes: tuple[Axis, ...], methods: tuple[Method, ...], chosen: Method | None
) -> Section:
    section = Section(
        protocol=result["protocol"],
        split=result["split"],
        title=title,
        slug=re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60],
        evaluation_set=result["evaluation_set"],
        class_names=tuple(map(str, result["class_names"])),
        support=tuple(int(figures["n"]) for figures in result["per_class"].values()),
        axes=axes,
        methods=methods,
        baseline=chosen or methods[0],
        baseline_chosen=chosen is not None,
    )
    for axis in axes:
        if axis.tied:
            tied = ", ".join(axis.tied[:6]) + (f" and {len(axis.tied) - 6} more" if len(axis.tied) > 6 else "")
            section.notes.append(f"These options change together with {axis.title}: {tied}.")
    chosen_precision = [place for place, axis in enumerate(axes) if axis.key == "trainer.precision"]
    alike: dict[str, dict[str, Sequence[Run]]] = {}  # no warning for precisions that are compared on purpose
    for method in methods:
        alike.setdefault("".join(method.values[i] for i in chosen_precision), {})[method.label] = method.runs
    section.notes.extend(filter(None, map(unlike_arithmetic, alike.values())))
    return section


def known_axes(sections: Sequence[Section], names: Sequence[str]) -> list[str]:
    """Check that the requested axes exist in some section.

    Raises:
        UserError: if there is no such axis; the message names the nearest axes.
    """
    titles = dict.fromkeys(name for s in sections for axis in s.axes for name in (axis.title, axis.key))
    for name in names:
        if name not in titles:
            raise UserError(
                f"axes={name}: the runs do not differ in it; {nearest(name, titles) if titles else 'there are no axes'}"
            )
    return list(names)
