"""Compare many methods at once, corrected for the number of comparisons.

Holm's procedure is implemented here, in four lines, because SciPy does not have it and statsmodels is not a dependency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.statistics.methods import (
    MethodComparison,
    MethodMetric,
    compare_methods,
    detectable_among,
    verdict_of,
)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Adjust p-values with Holm's step-down procedure, which controls the family-wise error rate.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.

    Args:
        p_values: the M p-values, each within [0, 1], in any order.

    Returns:
        (M,) the adjusted p-values, in the same order, each at least as large as the original value.

    Raises:
        ValueError: if a value lies outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"Expected argument `p_values` to be a list of numbers within [0, 1], but got {p.tolist()}.")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def compare_against_baseline(
    runs_by_method: Mapping[str, NDArray[np.bool_]],
    baseline: str,
    labels: NDArray[np.integer] | None = None,
    metric: MethodMetric = "accuracy",
    confidence: float = 0.95,
    *,
    chosen_by_results: bool = False,
) -> list[MethodComparison]:
    """Compare every method of a sweep with a baseline, with Holm's correction over all comparisons with enough seeds.

    The baseline must not depend on the results, because the best of several equally good methods is best only by
    chance. If the baseline was chosen by its results, any pair might have been compared, so the p-values are corrected
    for all pairs (Bonferroni).

    Args:
        runs_by_method: name -> (seeds, images) bool, all for the same images (see :func:`.pairing.correct_matrix`).
        baseline: one of the names.
        labels: as for :func:`.methods.compare_methods`.
        metric: as for :func:`.methods.compare_methods`.
        confidence: the probability of any false verdict in the family is at most 1 - confidence.
        chosen_by_results: whether the baseline was chosen by its results, e.g. as the best or the worst.

    Returns:
        One comparison per method except the baseline, in the given order, with ``name``, ``baseline`` and
        ``adjusted_p_value``; verdicts use the adjusted p-value, and ``smallest_detectable`` is corrected for the family
        too. Intervals are those of the single comparison.

    Raises:
        ValueError: if the baseline is not among the names, or an argument is not legal.
    """
    if baseline not in runs_by_method:
        raise ValueError(f"Expected argument `baseline` to be one of {sorted(runs_by_method)}, but got {baseline!r}.")
    found = [
        replace(
            compare_methods(runs, runs_by_method[baseline], labels, metric, confidence), name=name, baseline=baseline
        )
        for name, runs in runs_by_method.items()
        if name != baseline
    ]
    decided = sum(comparison.p_value is not None for comparison in found)
    family = decided * (decided + 1) // 2 if chosen_by_results else decided
    return _corrected(found, family, confidence, bonferroni=chosen_by_results)


def compare_contrasts(
    runs_by_method: Mapping[str, NDArray[np.bool_]],
    pairs: Sequence[tuple[str, str]],
    labels: NDArray[np.integer] | None = None,
    metric: MethodMetric = "accuracy",
    confidence: float = 0.95,
    *,
    family: int | None = None,
) -> list[MethodComparison]:
    """Compare pairs of methods that were planned in advance, with Holm's correction over all of them.

    The pairs need not share a method. They form one family; other comparisons of these runs are unplanned and belong to
    another family. Pairs must not be chosen, dropped or reversed after seeing the results. Therefore, a pair with too
    few seeds for a test counts in the correction with p = 1.

    Args:
        runs_by_method: as for :func:`compare_against_baseline`; methods in no pair are ignored.
        pairs: names of the two methods of each contrast; the first is compared with the second.
        labels: as for :func:`.methods.compare_methods`.
        metric: as for :func:`.methods.compare_methods`.
        confidence: the probability of any false verdict in the family is at most 1 - confidence.
        family: number of planned contrasts, if the runs of some are missing; None: the number of pairs.

    Returns:
        One comparison per pair, in the given order, with ``name`` (the first), ``baseline`` (the second) and
        ``adjusted_p_value``; verdicts use the adjusted p-value, and ``smallest_detectable`` is corrected for the family
        too. Intervals are those of the single comparison.

    Raises:
        ValueError: if a pair names an unknown method, or one method twice, or an argument is not legal.
    """
    for pair in pairs:
        missing = [name for name in pair if name not in runs_by_method]
        if missing or len(pair) != 2 or pair[0] == pair[1]:
            legal = f"two different names from {sorted(runs_by_method)}"
            raise ValueError(f"Expected argument `pairs` to contain pairs of {legal}, but got {tuple(pair)}.")
    found = [
        replace(compare_methods(runs_by_method[a], runs_by_method[b], labels, metric, confidence), name=a, baseline=b)
        for a, b in pairs
    ]
    if family is not None and family < len(found):
        raise ValueError(
            f"Expected argument `family` to be at least the number of pairs, {len(found)}, but got {family}."
        )
    return _corrected(found, len(found) if family is None else family, confidence)


def _corrected(
    found: Sequence[MethodComparison], family: int, confidence: float, *, bonferroni: bool = False
) -> list[MethodComparison]:
    """Correct comparisons for a family of the given size, by Holm's procedure or by Bonferroni's."""
    corrected = list(found)
    decided = [i for i, comparison in enumerate(found) if comparison.p_value is not None]
    p_values = [found[i].p_value or 0.0 for i in decided]
    if bonferroni:
        adjusted = np.minimum(family * np.array(p_values), 1.0)
    else:
        adjusted = holm([*p_values, *[1.0] * (family - len(p_values))])[: len(p_values)]
    for i, p in zip(decided, adjusted.tolist(), strict=True):
        verdict = verdict_of(found[i].difference, p, confidence)
        smallest = detectable_among(found[i], family, confidence)
        corrected[i] = replace(found[i], adjusted_p_value=p, verdict=verdict, smallest_detectable=smallest)
    return corrected
