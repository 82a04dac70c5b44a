"""Draw the panels of a section that show results: methods, contrasts, classes, confusion, calibration, risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.risk_coverage import risk_coverage
from mfer_lightning.evaluation.statistics.methods import MethodComparison, MethodMetric
from mfer_lightning.figures.confusion import confusion_panel
from mfer_lightning.figures.estimates import Estimate, estimates_panel
from mfer_lightning.figures.reliability import reliability_panel
from mfer_lightning.figures.risk_coverage import risk_coverage_panel
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.pages.panel_groups import Group, SectionPanels
from mfer_lightning.reporting.study.ablation_tables import recalls
from mfer_lightning.reporting.study.comparisons import signed
from mfer_lightning.reporting.study.contrast_tables import in_figure, metric_in_words
from mfer_lightning.reporting.study.contrasts import Planned
from mfer_lightning.reporting.study.method_intervals import method_interval
from mfer_lightning.reporting.study.method_tables import SHARES
from mfer_lightning.reporting.study.sections import Method, Section


def method_panels(panels: SectionPanels, metric: str) -> Group | None:
    """Draw the main results with their intervals, and the differences from the baseline."""
    section, pictures = panels.section, []
    for name, named in SHARES.items():
        rows = [row for m in panels.methods if (row := _over_seeds(m, name, m is section.baseline))]
        if not rows:
            continue
        title = named.removesuffix(" %")
        base = section.baseline.figures(name)
        alt = f"{title} of each method in per cent: {'; '.join(f'{r.label} {r.value:.1f}' for r in rows)}."
        person = _one_annotator(section) if name == "accuracy" else None
        if person is not None:
            alt += f" A single annotator agrees with the others on {person[0]:.1f}% of the faces."
        lines = {"baseline": 100 * float(np.mean(base)) if base else None, "reference": person}
        words = {"title": title[0].upper() + title[1:], "unit": f"{title} (%)"}
        pictures.append(panels.picture(name, alt, estimates_panel, rows, **words, **lines))
    compared = [(m, c) for m in panels.methods if (c := section.comparisons.get(m.label)) is not None]
    if any(c.low is not None for _, c in compared):
        title = "Difference from the baseline"
        told = "; ".join(f"{m.short} {signed(c.difference)}, {c.verdict}" for m, c in compared)
        words = {"title": title, "unit": f"{SHARES.get(metric, metric).removesuffix(' %')}, points"}
        rows = [_difference(m.short, c, _seeds_less(m, section.baseline, metric)) for m, c in compared]
        alt = f"{title} in points: {told}."
        pictures.append(panels.picture("difference", alt, estimates_panel, rows, differences=True, **words))
    covered = {interval.covers for m in panels.methods if (interval := method_interval(m, metric)) is not None}
    over = " or, with fewer than three seeds, ".join(f"over {words}" for words in sorted(covered, reverse=True))
    caption = f"Lines are 95% intervals of the mean, {over}. " if covered else ""
    caption += "Small dots are seeds, the dashed line is the baseline. "
    if any(c.low is not None for _, c in compared):
        caption += (
            "The last panel shows the difference from the baseline with its 95% interval over seeds and faces (▲ "
            "better, ▼ worse, ● tie, Holm-corrected). If the method or the baseline has fewer than three seeds, it "
            "shows each seed minus the baseline's mean, without an interval. "
        )
    elif compared:
        caption += "Differences from the baseline have no interval with fewer than three seeds and are not drawn. "
    if _one_annotator(section) is not None:
        caption += "The dotted line is the agreement of a single annotator with the others; a model may exceed it. "
    caption = caption.rstrip() + panels.limit_note()
    return Group("Results with intervals", caption, tuple(pictures)) if pictures else None


def contrast_panels(panels: SectionPanels, judged: Sequence[Planned], metric: MethodMetric) -> Group | None:
    """Draw the difference of every planned contrast with its interval; None if nothing could be compared.

    Args:
        panels: draws the panels.
        judged: result of :func:`mfer_lightning.reporting.study.contrasts.judge`.
        metric: the compared metric.
    """
    if all(planned.comparison is None for planned in judged):
        return None
    rows, told = [], []
    for planned in judged:
        name, words, comparison = planned.contrast.name, in_figure(planned), planned.comparison
        if comparison is None:
            rows.append(Estimate(name, verdict="undecided", words=words))
            told.append(f"{name} {words}")
        else:
            seeds = _seeds_less(planned.method, planned.against, metric)
            rows.append(_difference(name, comparison, seeds, words))
            told.append(f"{name} {signed(comparison.difference)}, {words}")
    alt = f"Differences of the planned contrasts in points: {'; '.join(told)}."
    text = {"title": "Planned contrasts", "unit": f"difference in {metric_in_words(metric)}, points"}
    picture = panels.picture("contrasts", alt, estimates_panel, rows, differences=True, **text)
    family = "the contrasts of its family" if len({p.contrast.family for p in judged}) > 1 else "these contrasts"
    caption = (
        "Difference between the two methods of each contrast, with its 95% interval over seeds and faces (▲ better, "
        f"▼ worse, ● tie, Holm-corrected over {family} only). Without an interval, small dots are seeds minus the "
        'other method\'s mean. "Detectable" is the true difference, in points, that '
        "would have been detected with 80% power."
    )
    return Group("Differences with intervals", caption, (picture,))


def confusion_panels(panels: SectionPanels) -> Group:
    """Draw a confusion matrix for each method, summed over its seeds."""
    pictures, names = [], panels.section.class_names
    for method in panels.methods:
        total = np.sum([np.asarray(run.result["confusion"]) for run in method.runs], axis=0)
        alt = f"Confusion matrix of {method.short}. {_largest_confusions(total, names)}"
        name = f"confusion-{method.short}"
        pictures.append(panels.picture(name, alt, confusion_panel, total, names, title=method.short))
    caption = f"Proportions of each true class in per cent, over all seeds; rows are true classes.{panels.limit_note()}"
    return Group("Confusion matrices", caption, tuple(pictures))


def class_panels(panels: SectionPanels) -> Group:
    """Draw the recall of each class for all methods."""
    pictures, classes = [], {}
    for name, n in zip(panels.section.class_names, panels.section.support, strict=True):
        rows = []
        for method in panels.methods:
            values = recalls(method, name)
            if values and n:
                mean = float(np.mean(values))
                rows.append(_estimate(method.short, mean, *wilson(round(mean * n), n), values))
        if rows:
            classes[name, n] = rows
    ends = [end for rows in classes.values() for r in rows for end in (r.low, r.high, *r.seeds) if end is not None]
    limits = (max(-2.0, min(ends) - 3), min(102.0, max(ends) + 3)) if ends else None  # one range for all classes
    for (name, n), rows in classes.items():
        alt = f"Recall of {name} in per cent: {'; '.join(f'{r.label} {r.value:.0f}' for r in rows)}."
        words = {"title": f"{name} ({counted(n, 'face')})", "unit": "recall (%)"}
        pictures.append(panels.picture(f"recall-{name}", alt, estimates_panel, rows, limits=limits, **words))
    caption = (
        "Mean recall over seeds (small dots). Lines are Wilson's 95% intervals for one network with this recall on "
        f"this number of faces, and show only the variation over faces.{panels.limit_note()}"
    )
    return Group("Recall of each class", caption, tuple(pictures))


def reliability_panels(panels: SectionPanels) -> Group | None:
    """Draw a reliability diagram for each method, with all its seeds together."""
    pictures = []
    for method in panels.methods:
        tables = method.tables
        if not tables:
            continue
        p, y = np.concatenate([t.probabilities for t in tables]), np.concatenate([t.label for t in tables])
        error = method.figures("ece")
        title = method.short + (f": ECE {100 * float(np.mean(error)):.1f}%" if error else "")
        sure, right = 100 * float(p.max(axis=1).mean()), 100 * float((p.argmax(axis=1) == y).mean())
        alt = f"Reliability of {title}. Mean confidence {sure:.1f}%, accuracy {right:.1f}%."
        words: dict[str, Any] = {"title": title, "seeds": len(tables)}
        pictures.append(panels.picture(f"reliability-{method.short}", alt, reliability_panel, p, y, **words))
    caption = (
        "Accuracy versus confidence in ten bins of equal mass, all seeds together; 95% intervals count each face "
        "once. On the dashed line, confidence equals "
        f"accuracy; below it, the network is overconfident. ECE is the mean over seeds (15 bins).{panels.limit_note()}"
    )
    return Group("Reliability", caption, tuple(pictures)) if pictures else None


def risk_coverage_panels(panels: SectionPanels) -> Group | None:
    """Draw a risk-coverage curve for each method, with all its seeds together."""
    pictures = []
    for method in panels.methods:
        tables = method.tables
        if not tables:
            continue
        confidence = np.concatenate([t.probabilities.max(axis=1) for t in tables])
        right = np.concatenate([t.pred == t.label for t in tables])
        curve = risk_coverage(confidence, right)
        told = "; ".join(f"{share:.0%} accepted, {100 * curve.risk_at(share):.1f}" for share in (1.0, 0.8, 0.5))
        alt = f"Error rate of {method.short} in % if only the most confident predictions are accepted: {told}."
        name = f"risk-coverage-{method.short}"
        words: dict[str, Any] = {"title": method.short, "seeds": len(tables)}
        pictures.append(panels.picture(name, alt, risk_coverage_panel, confidence, right, **words))
    caption = (
        "Error rate if only the most confident predictions are accepted, all seeds together, with "
        "Wilson's 95% intervals, which count each face once. The dashed line is the error rate over all faces. If "
        f"confidence predicts correctness, the curve rises late.{panels.limit_note()}"
    )
    return Group("Risk and coverage", caption, tuple(pictures)) if pictures else None


def _over_seeds(method: Method, name: str, is_baseline: bool) -> Estimate | None:
    values = method.figures(name)
    if not values:
        return None
    found = method_interval(method, name)
    low, high = (None, None) if found is None else (found.low, found.high)
    return _estimate(method.short, float(np.mean(values)), low, high, values, "" if is_baseline else "tie")


def _difference(label: str, comparison: MethodComparison, seeds: Sequence[float], words: str = "") -> Estimate:
    """Make a row for a difference; without an interval, show only seeds, since a mark would suggest a finding."""
    low, high = comparison.low, comparison.high
    if low is None:
        return Estimate(label, seeds=tuple(100 * v for v in seeds), verdict=comparison.verdict, words=words)
    return _estimate(label, comparison.difference, low, high, verdict=comparison.verdict, words=words)


def _seeds_less(method: Method, against: Method, metric: str) -> list[float]:
    """Return each seed's result minus the mean of another method."""
    base = against.figures(metric)
    return [value - float(np.mean(base)) for value in method.figures(metric)] if base else []


def _estimate(
    label: str,
    value: float,
    low: float | None,
    high: float | None,
    seeds: Sequence[float] = (),
    verdict: str = "tie",
    words: str = "",
) -> Estimate:
    """Make a row in per cent from proportions; a single seed is not drawn separately."""
    low, high = (None if end is None else 100 * end for end in (low, high))
    dots = tuple(100 * v for v in seeds) if len(seeds) > 1 else ()
    return Estimate(label, 100 * value, low, high, dots, verdict, words)


def _one_annotator(section: Section) -> tuple[float, str] | None:
    """Return how often a single annotator agrees with the others, in per cent; None if it is not recorded.

    All results of a section are on the same faces, so the first recorded value is used.
    """
    for run in section.runs:
        found = run.result.get("annotators")
        value = found.get("single_annotator") if isinstance(found, Mapping) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return 100 * float(value), "a single annotator"
    return None


def _largest_confusions(confusion: NDArray[np.integer], names: Sequence[str]) -> str:
    total = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, total, out=np.zeros(confusion.shape), where=total > 0)
    np.fill_diagonal(share, 0)
    pairs = [divmod(int(i), len(names)) for i in np.argsort(-share, axis=None)[:3] if share.flat[i] > 0]
    told = ", ".join(f"{names[i]} as {names[j]} {100 * share[i, j]:.0f}%" for i, j in pairs)
    return f"Largest confusions: {told}." if pairs else "No confusions."
