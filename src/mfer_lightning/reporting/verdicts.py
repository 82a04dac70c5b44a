"""Evaluate planned contrasts without writing a report, for the W&B dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.evaluation.statistics.methods import MethodMetric
from mfer_lightning.reporting.pages.render import markdown_table
from mfer_lightning.reporting.study.contrast_plan import Plan
from mfer_lightning.reporting.study.contrast_tables import contrast_table
from mfer_lightning.reporting.study.contrasts import judge, place_contrasts
from mfer_lightning.reporting.study.folds import join_folds
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.reporting.study.sections import make_sections
from mfer_lightning.tracking.verdicts import Value, Verdicts


def judge_plan(places: Sequence[str | Path], plan: Plan, metric: MethodMetric = "accuracy") -> Verdicts:
    """Evaluate the planned contrasts of runs, like ``mfer report contrasts=``.

    Args:
        places: runs, sweeps, folders of runs or archives.
        plan: the planned contrasts.
        metric: the compared metric, if the plan does not specify one.

    Returns:
        One row per contrast and section to which the plan applies.

    Raises:
        UserError: if the plan does not apply to any section.
    """
    runs, _ = open_runs(find_results(places).results)
    sections, _ = make_sections(join_folds(runs))
    by = plan.metric or metric
    rows: list[dict[str, Value]] = []
    text: dict[tuple[str, str], str] = {}
    for section, placed in zip(sections, place_contrasts(plan, sections), strict=True):
        if not placed:
            continue
        table = contrast_table(plan, section, judge(section, placed, by), by)
        rows += [{"protocol": section.protocol, "split": section.split, **row} for row in table.data]
        key = (section.protocol, section.split)
        text[key] = "\n\n".join(filter(None, [text.get(key), f"{markdown_table(table)}\n\n{table.caption}"]))
    return Verdicts(tuple(rows), plan.sha256, text)
