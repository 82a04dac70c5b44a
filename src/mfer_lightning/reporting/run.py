"""``mfer report``: write a folder with tables, figures and verdicts on finished runs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.errors import UserError, check_choice, check_least
from mfer_lightning.evaluation.keep_study import check_place, keep_study
from mfer_lightning.evaluation.runs import folder_of, is_place, run_folders
from mfer_lightning.evaluation.statistics.methods import MethodMetric
from mfer_lightning.plurals import counted
from mfer_lightning.progress import status
from mfer_lightning.reporting.pages.document import Document, Options
from mfer_lightning.reporting.pages.write import PAGE, write_report
from mfer_lightning.reporting.study.contrast_plan import read_plan
from mfer_lightning.reporting.study.provenance import said_once

METRICS = ("accuracy", "mean_class_accuracy")
EMBEDDINGS = ("tsne", "pca", "none")


@dataclass(frozen=True, eq=False)
class Report:
    """A finished report.

    Args:
        folder: folder of the report.
        document: content of the report: chapters with findings and tables, and the runs that were left out.
    """

    folder: Path
    document: Document

    @property
    def page(self) -> Path:
        """The web page, which works offline."""
        return self.folder / PAGE

    @property
    def findings(self) -> list[str]:
        """The findings of all chapters."""
        return [finding for chapter in self.document.chapters for finding in chapter.findings]

    def __repr__(self) -> str:
        return "\n".join([f"Report({self.page})", *(f"  {finding}" for finding in self.findings)])


def report(
    runs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    output: str | Path | None = None,
    *,
    keep: str | Path | None = None,
    title: str | None = None,
    baseline: str | None = None,
    metric: MethodMetric = "accuracy",
    contrasts: str | Path | None = None,
    axes: Sequence[str] = (),
    embedding: str = "tsne",
    embedding_points: int = 500,
    plugins: Sequence[str] = (),
) -> Report:
    """Report on finished runs: write the report, and print its findings.

    Args:
        runs: a sweep, a run, a folder of runs or a study's archive; or a list of these.
        output: folder of the report; None: ``report/`` in the first folder.
        keep: folder for an archive of the runs' numbers, small enough for version control; None: no archive.
        title: heading; None: derived from the folders.
        baseline: method that all others are compared with, e.g. ``"loss=ce"``; None: the simplest method.
        metric: metric used to compare methods: ``"accuracy"`` or ``"mean_class_accuracy"``.
        contrasts: a YAML file of planned contrasts.
        axes: options to cross in tables; empty: all that differ, up to four.
        embedding: 2-D projection of the features: ``"tsne"``, ``"pca"`` or ``"none"``.
        embedding_points: number of faces per projection.
        plugins: your own packages that the runs were trained with; importing them executes their code.

    Returns:
        The report.

    Raises:
        UserError: for illegal options, or if there is nothing to report on.
    """
    named = runs if isinstance(runs, (list, tuple)) else [runs]
    folders = run_folders([os.fspath(n) if isinstance(n, os.PathLike) else n for n in named], "mfer report ")
    check_choice("metric", metric, METRICS)
    check_choice("embedding", embedding, EMBEDDINGS)
    check_least("embedding_points", embedding_points, 0)
    for folder in folders:
        if not is_place(folder):
            raise UserError(
                f"There is no folder {folder}. Use mfer report <a sweep, a run, a folder of runs or a study's archive>."
            )
    if keep is not None:
        if not str(keep):
            raise UserError("keep= has no value. Set it to a folder for the archive of the runs, or remove the option.")
        check_place(folders, str(keep))  # check now, since a report takes a while
    target = Path(output or folder_of(folders[0]) / "report").expanduser()
    plan = None if contrasts is None else read_plan(contrasts)
    options = Options(title or "", baseline, metric, tuple(axes), embedding, embedding_points, plan)
    started = time.perf_counter()
    with plugins_loaded(plugins), status("reading runs") as say:
        document = write_report(folders, target, options, say)
    for chapter in document.chapters:
        print(f"{chapter.section.title}: baseline {chapter.section.baseline.label}")
        for finding in chapter.findings:
            print(f"  {finding}")
    for matrix in document.matrices:
        print(f"{matrix.title}: {matrix.words}")
        for finding in matrix.findings:
            print(f"  {finding}")
    for name, reason in document.left_out:
        print(f"Left out: {name} {reason}")
    print(f"Report: {target / PAGE} ({time.perf_counter() - started:.1f} s)")
    if keep is not None:
        _keep(folders, str(keep))
    return Report(target, document)


def _keep(folders: Sequence[str], into: str) -> None:
    """Archive the numbers that the report needs."""
    with status("keeping numbers"):
        kept = keep_study(folders, into)
    for name, reason in said_once(kept.left_out):
        print(f"Not kept: {name} {reason}")
    new, count = len(kept.written), len(kept.written) + len(kept.unchanged)
    print(f"Kept: {counted(count, 'run')} in {into} ({kept.size / 1000:,.0f} kB), {new} of them new or changed")
