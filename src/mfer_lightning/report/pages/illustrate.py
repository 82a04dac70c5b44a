"""The figures of a section that need results and predictions: groups of panels that stand side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.statistics import summarise_seeds
from mfer_lightning.figures.panels import (
    Dot,
    plot_differences,
    plot_dots,
    plot_small_confusion,
    plot_small_reliability,
)
from mfer_lightning.report.pages.easel import Easel, Group
from mfer_lightning.report.study.details import recalls
from mfer_lightning.report.study.overview import SHARES
from mfer_lightning.report.study.sections import Method, Section
from mfer_lightning.report.study.verdicts import signed


def comparison(easel: Easel, metric: str) -> Group | None:
    """Main figures with intervals, and differences from the baseline."""
    section = easel.section
    pictures = []
    for name, named in SHARES.items():
        dots = [dot for m in easel.pictured if (dot := _dot(m, name, m is section.baseline))]
        if not dots:
            continue
        title = named.removesuffix(" %")
        base = section.baseline.figures(name)
        alt = f"{title} of each method in per cent: {'; '.join(f'{d.label} {d.mean:.1f}' for d in dots)}."
        mark = 100 * float(np.mean(base)) if base else None
        heading = title[0].upper() + title[1:]
        person = _one_annotator(section) if name == "accuracy" else None
        if person is not None:
            alt += f" A single annotator agrees with the others on {person[0]:.1f}."
        draw = partial(plot_dots, dots, title=heading, unit=f"{title} (%)", baseline=mark, reference=person)
        pictures.append(easel.picture(name, alt, draw))
    compared = [(m, c) for m in easel.pictured if (c := section.comparisons.get(m.label)) is not None]
    if compared:
        dots = [
            Dot(m.short, 100 * c.difference, _percent(c.low), _percent(c.high), verdict=c.verdict) for m, c in compared
        ]
        title = "Difference from the baseline"
        told = "; ".join(f"{m.short} {signed(c.difference)}, {c.verdict}" for m, c in compared)
        unit = f"{SHARES.get(metric, metric).removesuffix(' %')}, points"
        draw = partial(plot_differences, dots, title=title, unit=unit)
        pictures.append(easel.picture("difference", f"{title} in points: {told}.", draw))
    caption = (
        "Lines are 95% intervals: of the mean over seeds (of a single seed's accuracy, over faces), and in the last "
        "panel of the difference over seeds and faces (▲ better, ▼ worse, ● tie, ◆ undecided, Holm-corrected). Small "
        "dots are seeds, the dashed line is the baseline; where votes exist, the dotted line is how often a single "
        f"annotator agrees with the others, which a model may surpass.{easel.few}"
    )
    return Group("Figures with intervals", caption, tuple(pictures)) if pictures else None


def confusions(easel: Easel) -> Group:
    """A confusion matrix for each method, summed over its seeds."""
    pictures = []
    names = easel.section.class_names
    for method in easel.pictured:
        total = np.sum([np.asarray(run.result["confusion"]) for run in method.runs], axis=0)
        alt = f"Confusion matrix of {method.short}. {_largest_confusions(total, names)}"
        draw = partial(plot_small_confusion, total, names, title=method.short)
        pictures.append(easel.picture(f"confusion-{method.short}", alt, draw))
    caption = f"Share of each true class in per cent, over all seeds; rows are the truth.{easel.few}"
    return Group("Confusion matrices", caption, tuple(pictures))


def classes(easel: Easel) -> Group:
    """The recall of each class with every method."""
    pictures = []
    for name, n in zip(easel.section.class_names, easel.section.support, strict=True):
        dots = []
        for method in easel.pictured:
            values = recalls(method, name)
            if values and n:
                mean = float(np.mean(values))
                low, high = wilson(round(mean * n), n)
                seeds = tuple(100 * v for v in values) if len(values) > 1 else ()
                dots.append(Dot(method.short, 100 * mean, 100 * low, 100 * high, seeds))
        if dots:
            alt = f"Recall of {name} in per cent: {'; '.join(f'{d.label} {d.mean:.0f}' for d in dots)}."
            draw = partial(plot_dots, dots, title=f"{name} ({n:,} faces)", unit="recall (%)")
            pictures.append(easel.picture(f"recall-{name}", alt, draw))
    caption = (
        "Mean recall over seeds, which are the small dots. Lines are Wilson's 95% intervals for one network of that "
        f"recall on as many faces: what other faces would change.{easel.few}"
    )
    return Group("Recall of each class", caption, tuple(pictures))


def reliabilities(easel: Easel) -> Group | None:
    """A reliability diagram for each method, its seeds joined."""
    pictures = []
    for method in easel.pictured:
        tables = [run.table for run in method.runs if run.table is not None]
        if not tables:
            continue
        p, y = np.concatenate([t.probabilities for t in tables]), np.concatenate([t.label for t in tables])
        error = method.figures("ece")
        title = method.short + (f": ECE {100 * float(np.mean(error)):.1f}%" if error else "")
        sure, right = 100 * float(p.max(axis=1).mean()), 100 * float((p.argmax(axis=1) == y).mean())
        alt = f"Reliability of {title}. Mean confidence {sure:.1f}%, accuracy {right:.1f}%."
        draw = partial(plot_small_reliability, p, y, title=title)
        pictures.append(easel.picture(f"reliability-{method.short}", alt, draw))
    caption = (
        "Accuracy over confidence in ten bins of equal mass, all seeds joined. On the dashed line confidences can be "
        "believed; below it the network is surer than right. ECE is the mean of the seeds' own (15 bins)."
        f"{easel.few}"
    )
    return Group("Reliability", caption, tuple(pictures)) if pictures else None


def _dot(method: Method, name: str, is_baseline: bool) -> Dot | None:
    values = method.figures(name)
    if not values:
        return None
    found = summarise_seeds(values)
    low, high = found.low, found.high
    if len(values) == 1 and name == "accuracy":
        n = int(method.runs[0].result["n"])
        low, high = wilson(round(values[0] * n), n)
    if low is not None and high is not None:
        low, high = max(low, 0.0), min(high, 1.0)
    seeds = tuple(100 * v for v in values) if len(values) > 1 else ()
    verdict = "" if is_baseline else "tie"
    return Dot(method.short, 100 * found.mean, _percent(low), _percent(high), seeds, verdict)


def _one_annotator(section: Section) -> tuple[float, str] | None:
    """How often a single annotator agrees with the others, where results say it; all are of the same faces."""
    for run in section.runs:
        found = run.result.get("annotators")
        value = found.get("single_annotator") if isinstance(found, Mapping) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return 100 * float(value), "a single annotator"
    return None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _largest_confusions(confusion: NDArray[np.integer], names: Sequence[str]) -> str:
    total = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, total, out=np.zeros(confusion.shape), where=total > 0)
    np.fill_diagonal(share, 0)
    pairs = [divmod(int(i), len(names)) for i in np.argsort(-share, axis=None)[:3] if share.flat[i] > 0]
    if not pairs:
        return "No confusions."
    return (
        "Largest confusions: " + ", ".join(f"{names[i]} as {names[j]} {100 * share[i, j]:.0f}%" for i, j in pairs) + "."
    )
