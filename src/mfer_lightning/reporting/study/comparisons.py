"""Compare methods, and describe the comparison in text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.statistics import MethodComparison, compare_against_baseline, same_images
from mfer_lightning.evaluation.statistics.methods import MIN_SEEDS, MethodMetric
from mfer_lightning.reporting.study.sections import Section

Correct = dict[str, NDArray[np.bool_]]


def compare(section: Section, metric: MethodMetric) -> list[str]:
    """Compare every method of a section with the baseline, and store the comparisons in the section.

    Args:
        section: the section; its ``comparisons`` are set. A method has no comparison if it or the baseline has no
            predictions.
        metric: the compared metric.

    Returns:
        The section's findings in sentences, the most important first.
    """
    found = right_answers(section)
    if found is None:
        return []
    correct, labels = found
    told = []
    if section.baseline.label in correct and len(correct) > 1:
        comparisons = compare_against_baseline(correct, section.baseline.label, labels, metric)
        section.comparisons = {str(c.name): c for c in comparisons}
        told = _against_baseline(section)
    told += _best(section, correct, labels, metric)
    return told


@lru_cache(maxsize=1)  # called twice in a row: for planned contrasts, and for all other comparisons
def right_answers(section: Section) -> tuple[Correct, NDArray[np.int64]] | None:
    """Return which faces each seed of each method predicted correctly, with the faces in the same order.

    Args:
        section: the section; a note is added if its runs were not measured on the same faces.

    Returns:
        Label of a method with predictions -> (seeds, faces) bool, and the (faces,) true classes; None if there is
        nothing to compare.
    """
    found = [(m.label, run.table) for m in section.methods for run in m.runs if run.table is not None]
    if not found:
        return None
    try:
        ordered = same_images([table for _, table in found])
    except ValueError as error:
        words = str(error).partition(", but ")[2] or str(error)
        section.notes.append(
            f"The methods are not compared, because the runs were not measured on the same faces ({words})"
        )
        return None
    right: dict[str, list[NDArray[np.bool_]]] = {}
    for (label, _), table in zip(found, ordered, strict=True):
        right.setdefault(label, []).append(table.pred == table.label)
    return {label: np.stack(seeds) for label, seeds in right.items()}, ordered[0].label


def _against_baseline(section: Section) -> list[str]:
    comparisons = section.comparisons
    told = []
    for verdict, words in (("better", "Better than the baseline"), ("worse", "Worse than the baseline")):
        named = [f"{label} ({measured(c)})" for label, c in comparisons.items() if c.verdict == verdict]
        if named:
            told.append(f"{words}: {'; '.join(named)}.")
    ties = [(label, c) for label, c in comparisons.items() if c.verdict == "tie"]
    if ties:
        seen = [c.smallest_detectable for _, c in ties if c.smallest_detectable is not None]
        named = [f"{label} ({signed(c.difference)})" for label, c in ties]
        times = ", corrected for all comparisons," if len(comparisons) > 1 else ""
        told.append(f"No difference from the baseline could be shown: {'; '.join(named)} points.")
        if not seen:
            told[-1] += (
                " All their seeds and the baseline's classify the same faces correctly, so the detectable difference "
                "is unknown."
            )
            return told + _undecided(comparisons)
        range_ = points(max(seen)) if len(seen) == 1 else f"{points(min(seen))} to {points(max(seen))}"
        told[-1] += (
            f" With this test set and these seeds{times} a true difference of {range_} points would have been detected "
            "with 80% power, a smaller one with less."
        )
    return told + _undecided(comparisons)


def _undecided(comparisons: Mapping[str, MethodComparison]) -> list[str]:
    few = "; ".join(label for label, c in comparisons.items() if c.verdict == "undecided")
    needed = f"a comparison needs at least {MIN_SEEDS} seeds of each method"
    return [f"Undecided, too few seeds ({needed}): {few}."] if few else []


def _best(section: Section, correct: Correct, labels: NDArray[np.int64], metric: MethodMetric) -> list[str]:
    """Describe the highest mean, and which methods are not significantly different from it."""
    ranked = sorted(
        (m for m in section.methods if m.label in correct and m.figures(metric)),
        key=lambda m: -float(np.mean(m.figures(metric))),
    )
    if len(ranked) < 3:
        return []
    best = ranked[0]
    head = f"The highest mean is that of {best.label} ({100 * float(np.mean(best.figures(metric))):.2f}%)"
    others = compare_against_baseline(correct, best.label, labels, metric, chosen_by_results=True)
    level = [str(c.name) for c in others if c.verdict == "tie"]
    below = [str(c.name) for c in others if c.verdict == "worse"]
    if not level and not below:
        return [f"{head}; there are too few seeds for a comparison."]
    words = [f"Not significantly different from it: {'; '.join(level)}"] if level else []
    if below:
        words.append(f"Significantly worse, {len(below)} of the other {len(others)}: {'; '.join(below)}")
    reason = "corrected for all pairs, because the best was chosen by its result, which is partly due to chance"
    return [f"{head}. {'. '.join(words)} ({reason})."]


def measured(comparison: MethodComparison) -> str:
    """Format a difference with its interval, if it has one."""
    words = f"{signed(comparison.difference)} points"
    if comparison.low is not None and comparison.high is not None:
        words += f", 95% interval {signed(comparison.low)} to {signed(comparison.high)}"
    return words


def signed(share: float) -> str:
    """Format a difference of proportions in points, with its sign.

    Example:
        >>> signed(0.0123), signed(-0.004), signed(0.0)
        ('+1.23', '−0.40', '0.00')
    """
    value = f"{100 * abs(share):.2f}"
    if float(value) == 0:
        return value
    return f"{'+' if share > 0 else '−'}{value}"


def points(share: float) -> str:
    """Format a proportion in points.

    Example:
        >>> points(0.0123)
        '1.2'
    """
    return f"{100 * share:.1f}"
