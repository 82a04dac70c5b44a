"""Collect the content of a report, in order."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mfer_lightning.data.protocols import BEST_ON_TEST, LAST_EPOCH
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.class_order import doubt_class_order
from mfer_lightning.evaluation.runs import LeftOut, find_results
from mfer_lightning.evaluation.statistics.methods import MethodMetric
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.pages.matrix_sections import MatrixSection, matrix_sections
from mfer_lightning.reporting.pages.panel_groups import Group, SectionPanels
from mfer_lightning.reporting.pages.result_panels import (
    class_panels,
    confusion_panels,
    contrast_panels,
    method_panels,
    reliability_panels,
    risk_coverage_panels,
)
from mfer_lightning.reporting.pages.training_panels import begin_planes, curve_panels, embedding_panels
from mfer_lightning.reporting.study.ablation_tables import ablation_tables, class_table
from mfer_lightning.reporting.study.comparisons import compare
from mfer_lightning.reporting.study.contrast_plan import Plan
from mfer_lightning.reporting.study.contrast_tables import (
    NOT_PLANNED,
    chain_table,
    contrast_table,
    facts,
    sentences,
    summary,
)
from mfer_lightning.reporting.study.contrasts import Planned, judge, place_contrasts
from mfer_lightning.reporting.study.feature_space import compactness_table, measure_features, subgroup_table
from mfer_lightning.reporting.study.folds import fold_table, join_folds
from mfer_lightning.reporting.study.matrices import read_matrices
from mfer_lightning.reporting.study.method_tables import (
    cost_table,
    further_table,
    main_table,
    optimism_table,
    published_table,
)
from mfer_lightning.reporting.study.provenance import (
    Sweep,
    made_with,
    notes_of,
    read_sweeps,
    said_once,
    short_path,
)
from mfer_lightning.reporting.study.runs import Run, open_runs
from mfer_lightning.reporting.study.sections import Section, known_axes, make_sections
from mfer_lightning.reporting.study.tables import Table
from mfer_lightning.version import __version__

_SELECTION = "These are not test results: this split is used for training or for selecting the checkpoint."


@dataclass(frozen=True)
class Options:
    """Options of a report.

    Args:
        title: heading; empty: derived from the folders.
        baseline: ``axis=value`` pairs, or None for the simplest method.
        metric: metric used to compare methods.
        axes: titles of axes to cross in tables; empty: the first four.
        embedding: ``tsne``, ``pca`` or ``none``.
        embedding_points: number of faces in each embedding.
        plan: planned contrasts, or None.
    """

    title: str = ""
    baseline: str | None = None
    metric: MethodMetric = "accuracy"
    axes: tuple[str, ...] = ()
    embedding: str = "tsne"
    embedding_points: int = 500
    plan: Plan | None = None


@dataclass(frozen=True)
class Part:
    """A part of a chapter: a heading with text, tables and figures."""

    title: str
    items: tuple[Table | Group, ...]
    words: str = ""

    @property
    def slug(self) -> str:
        """Identifier for links."""
        return self.title.lower().replace(" ", "-")


@dataclass(eq=False)
class Chapter:
    """The chapter on one section, with all its parts."""

    section: Section
    findings: list[str]
    parts: list[Part] = field(default_factory=list)

    @property
    def tables(self) -> list[Table]:
        """All tables."""
        return [item for part in self.parts for item in part.items if isinstance(item, Table)]

    @property
    def groups(self) -> list[Group]:
        """All groups of figures."""
        return [item for part in self.parts for item in part.items if isinstance(item, Group)]


@dataclass(eq=False)
class Document:
    """A complete report."""

    title: str
    lead: str
    chapters: list[Chapter]
    runs: list[Run]
    left_out: list[tuple[str, str]]
    notes: list[str]
    commands: list[str]
    facts: list[tuple[str, str]]
    matrices: list[MatrixSection] = field(default_factory=list)
    version: str = __version__


def build_document(
    folders: Sequence[str], options: Options, output: Path, progress: Callable[[str], None] = lambda _: None
) -> Document:
    """Read runs and build the report; figures are drawn into the output folder.

    Args:
        folders: runs, sweeps, or folders of runs.
        options: options of the report.
        output: folder to which the report is written.
        progress: called with a short description at each step.

    Raises:
        UserError: if there is no usable run or matrix, or an option names something that does not exist.
    """
    progress("reading runs")
    found = find_results(folders)
    sweeps = [sweep for name in folders for sweep in read_sweeps(Path(name).expanduser())]
    stored, unlike = read_matrices(folders)
    if not found.results and not stored:
        raise UserError(f"{', '.join(folders)}: no finished run to report on.{_why(found.left_out, sweeps)}")
    runs, without = open_runs(found.results)
    runs = join_folds(runs)
    sections, repeated = make_sections(runs, options.baseline)
    known_axes(sections, options.axes)
    plan = options.plan
    placed: list[tuple[Planned, ...]] = [()] * len(sections) if plan is None else place_contrasts(plan, sections)
    failed = {failure.run for sweep in sweeps for failure in sweep.failures}
    # Failed jobs are added below, with their errors.
    unread = [item for item in found.left_out if item.folder.name not in failed]
    told = said_once([*unread, *without, *repeated, *unlike])
    told += [(f"job `{f.overrides}`", f"failed: {f.error}") for sweep in sweeps for f in sweep.failures]
    chapters = []
    for section, contrasts in zip(sections, placed, strict=True):
        progress(section.title)
        chapters.append(_chapter(section, options, output, told, contrasts, progress))
    names = [Path(name).expanduser().resolve().name for name in folders]
    matrices = matrix_sections(stored, output)
    return Document(
        title=options.title or f"Report: {', '.join(names)}",
        lead=" ".join(filter(None, [_lead(sections), *(matrix.words for matrix in matrices)])),
        chapters=chapters,
        runs=[run for section in sections for run in section.runs],
        left_out=told,
        notes=notes_of(runs),
        commands=_commands(folders, sweeps, options),
        matrices=matrices,
        facts=made_with(runs) + ([] if plan is None else [("planned contrasts", facts(plan, short_path(plan.path)))]),
    )


def _chapter(
    section: Section,
    options: Options,
    output: Path,
    told: list[tuple[str, str]],
    contrasts: Sequence[Planned],
    progress: Callable[[str], None],
) -> Chapter:
    panels = SectionPanels(section, output)
    wanted = 0 if options.embedding == "none" else options.embedding_points
    space = measure_features(section, wanted)
    planes = begin_planes(panels, space, options.embedding, progress) if wanted else None
    findings = compare(section, options.metric) or [_single(section)]
    methods = main_table(section, options.metric)
    planned: list[Part] = []
    if options.plan is not None and contrasts:
        said, part = _planned(panels, options.plan, contrasts, options.metric)
        findings, planned = [*said, NOT_PLANNED, *findings], [part]
        methods = replace(methods, caption=f"{methods.caption} These comparisons were not planned.")
    curves, unreadable = curve_panels(panels)
    optimism, unmeasured = optimism_table(section)
    told += [(problem.partition(": ")[0], problem.partition(": ")[2]) for problem in (*unreadable, *unmeasured)]
    parts = [
        *planned,
        Part("Methods", _there(methods, fold_table(section), method_panels(panels, options.metric))),
        Part("Ablations", tuple(ablation_tables(section, options.metric, options.axes))),
        Part("Training", _there(curves, optimism)),
        Part("Classes", _there(class_panels(panels), class_table(section), confusion_panels(panels))),
        Part("Calibration", _there(further_table(section), reliability_panels(panels), risk_coverage_panels(panels))),
    ]
    plane = None if planes is None else embedding_panels(panels, space, options.embedding, planes())
    parts += [
        Part("Feature space", _there(compactness_table(section, space), plane, subgroup_table(section, space))),
        Part("Cost", (cost_table(section),)),
        Part("Published figures", _there(published_table(section))),
    ]
    section.notes[:0] = _warnings(section)
    return Chapter(section, findings, [part for part in parts if part.items])


def _planned(
    panels: SectionPanels, plan: Plan, placed: Sequence[Planned], metric: MethodMetric
) -> tuple[list[str], Part]:
    """Evaluate the planned contrasts of a section; return their findings and their part of the chapter."""
    by = plan.metric or metric
    judged = judge(panels.section, placed, by)
    short = summary(plan, judged, by)
    figure = contrast_panels(panels, judged, by)
    items = _there(contrast_table(plan, panels.section, judged, by), figure, chain_table(plan, judged))
    return [short, *sentences(plan, judged)], Part("Planned contrasts", items, short)


def _warnings(section: Section) -> list[str]:
    """Return warnings about results that are easily misread."""
    told = [_SELECTION] if section.marked else []
    rules = {run.result["selection"]["rule"] for run in section.runs}
    if BEST_ON_TEST in rules:
        told.append(
            f"{section.protocol} is optimistic: models are trained on all of train and selected on the reported set, "
            "as in most published results."
        )
    elif LAST_EPOCH in rules:
        told.append(f"{section.protocol}: training also uses the validation faces, so none are left for selection.")
    elif section.split == "test" and section.evaluation_set.startswith("all of val"):
        told.append(f"{section.protocol}: the reported set is the dataset's own validation set, not its test set.")
    for method in section.methods:
        confusion = np.sum([np.asarray(run.result["confusion"]) for run in method.runs], axis=0)
        doubt = doubt_class_order(confusion, section.class_names)
        told += [] if doubt is None else [f"{method.label}: {doubt.message}"]
    return told


def _there(*items: Table | Group | None) -> tuple[Table | Group, ...]:
    return tuple(item for item in items if item is not None)


def _single(section: Section) -> str:
    if len(section.methods) == 1:
        method = section.methods[0]
        values = method.figures("accuracy")
        seeds = counted(method.seeds, "seed")
        reached = f"{100 * sum(values) / len(values):.2f}% accuracy" if values else "no accuracy"
        return f"One method, {method.label}, with {seeds}: {reached}. There is no other method to compare it with."
    return "No methods were compared: this requires predictions of the baseline and another method for the same faces."


def _lead(sections: Sequence[Section]) -> str:
    if not sections:
        return ""
    runs = sum(len(section.runs) for section in sections)
    methods = sum(len(section.methods) for section in sections)
    words = f"{counted(runs, 'run')}, {counted(methods, 'method')}"
    varied = list(dict.fromkeys(axis.title for section in sections for axis in section.axes))
    if varied:
        words += f"; they differ in {', '.join(varied[:8])}"
    if len(sections) > 1:
        words += f". {len(sections)} sections: results under different protocols or on different faces are never in the same column"  # noqa: E501
    return f"{words}."


def _commands(folders: Sequence[str], sweeps: Sequence[Sweep], options: Options) -> list[str]:
    found = [sweep.command for sweep in sweeps if sweep.command is not None]
    if len(found) < len(folders):
        found.append("# other runs: the options are in config.yaml in each run's folder")
    words = ["mfer report", *(short_path(Path(name).expanduser()) for name in folders)]
    words += [f"'baseline={options.baseline}'"] if options.baseline else []
    words += [f"metric={options.metric}"] if options.metric != "accuracy" else []
    words += [shlex.quote(f"contrasts={short_path(options.plan.path)}")] if options.plan else []
    return [*found, " ".join(words)]


def _why(left_out: Sequence[LeftOut], sweeps: Sequence[Sweep]) -> str:
    reasons = [f"{short_path(item.folder)} {item.reason}" for item in left_out]
    reasons += [f"job {f.overrides} failed: {f.error}" for sweep in sweeps for f in sweep.failures]
    if not reasons:
        return " A finished run has a result.json."
    more = f" (and {len(reasons) - 3} more)" if len(reasons) > 3 else ""
    return f" {'; '.join(reasons[:3])}{more}."
