"""Planned contrasts: pairs without a common baseline, corrected only among themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mfer_lightning.evaluation.statistics import compare_against_baseline, compare_contrasts, compare_methods
from mfer_lightning.evaluation.statistics.simulation import Setting, simulate_runs


def runs(accuracy: float, seed: int, seeds: int = 5, images: int = 1000) -> np.ndarray:
    return np.random.default_rng(seed).random((seeds, images)) < accuracy


METHODS = {
    "plain": runs(0.80, 0), "conv": runs(0.83, 1), "ds": runs(0.90, 2), "lgm": runs(0.80, 3), "dsf": runs(0.82, 4),
    "two": runs(0.99, 5, seeds=2),
}  # fmt: skip
PAIRS = [("ds", "conv"), ("plain", "ds"), ("dsf", "lgm"), ("lgm", "plain")]


def step_down(p_values: Sequence[float]) -> list[float]:
    """Holm's procedure as in its paper: step by step, the smallest p-value first, until one is not rejected."""
    m = len(p_values)
    ranked = sorted(range(m), key=lambda i: p_values[i])
    smallest_level = [1.0] * m  # at which each is rejected
    for level in np.linspace(1, 0, 100_001):
        for step, i in enumerate(ranked):
            if p_values[i] > level / (m - step):
                break
            smallest_level[i] = level
    return smallest_level


def test_each_pair_is_compared_separately_with_holm_correction_over_the_family() -> None:
    found = compare_contrasts(METHODS, PAIRS)
    alone = [compare_methods(METHODS[a], METHODS[b]) for a, b in PAIRS]
    assert [(c.name, c.baseline) for c in found] == PAIRS
    for c, single in zip(found, alone, strict=True):
        assert (c.difference, c.low, c.high, c.p_value) == (single.difference, single.low, single.high, single.p_value)
    expected = step_down([c.p_value for c in alone])
    assert [c.adjusted_p_value for c in found] == pytest.approx(expected, abs=2e-5)
    assert any(c.adjusted_p_value > c.p_value for c in found)
    assert [c.verdict for c in found[:2]] == ["better", "worse"]
    assert [c.verdict for c in found] == [
        "tie" if p >= 0.05 else "better" if c.difference > 0 else "worse" for c, p in zip(found, expected, strict=True)
    ]


def test_smallest_detectable_difference_uses_the_corrected_level() -> None:
    for c, (a, b) in zip(compare_contrasts(METHODS, PAIRS), PAIRS, strict=True):
        at_level = compare_methods(METHODS[a], METHODS[b], confidence=1 - 0.05 / len(PAIRS))
        assert c.smallest_detectable == pytest.approx(at_level.smallest_detectable)


def test_contrasts_with_one_common_method_match_baseline_comparison() -> None:
    three = {name: METHODS[name] for name in ("plain", "conv", "ds")}
    planned = compare_contrasts(METHODS, [("conv", "plain"), ("ds", "plain")])
    assert planned == compare_against_baseline(three, "plain")


def test_family_contains_only_the_planned_contrasts() -> None:
    """A difference that is significant as the only planned comparison, but not as one of four."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        a, b = simulate_runs(Setting(images=500, seeds=(3, 3), difference=0.02), rng)
        if 0.02 < compare_methods(a, b).p_value < 0.05:
            break
    methods = {"a": a, "b": b, **{str(i): runs(0.8, i, 3, 500) for i in range(6)}}
    (alone,) = compare_contrasts(methods, [("a", "b")])
    assert alone.adjusted_p_value == alone.p_value
    assert alone.verdict == ("better" if alone.difference > 0 else "worse")
    many = compare_contrasts(methods, [("a", "b"), ("0", "1"), ("2", "3"), ("4", "5")])
    assert many[0].verdict == "tie"


def test_undecided_contrasts_count_towards_the_family() -> None:
    with_it = compare_contrasts(METHODS, [("two", "plain"), *PAIRS])
    assert (with_it[0].verdict, with_it[0].adjusted_p_value) == ("undecided", None)
    expected = step_down([1.0, *(compare_methods(METHODS[a], METHODS[b]).p_value for a, b in PAIRS)])[1:]
    assert [c.adjusted_p_value for c in with_it[1:]] == pytest.approx(expected, abs=2e-5)
    # the correction is the same if the undecided contrast has no runs at all
    assert with_it[1:] == compare_contrasts(METHODS, PAIRS, family=len(PAIRS) + 1)
    with pytest.raises(ValueError, match="`family` to be at least the number of pairs, 4, but got 3"):
        compare_contrasts(METHODS, PAIRS, family=3)


def test_reversed_contrast_has_the_opposite_verdict() -> None:
    found, turned = compare_contrasts(METHODS, PAIRS), compare_contrasts(METHODS, [(b, a) for a, b in PAIRS])
    other = {"better": "worse", "worse": "better", "tie": "tie"}
    assert [c.verdict for c in turned] == [other[c.verdict] for c in found]
    assert [c.adjusted_p_value for c in turned] == pytest.approx([c.adjusted_p_value for c in found])


def test_mean_class_accuracy_is_compared_on_request() -> None:
    labels = np.array([0] * 950 + [1] * 50)
    rare = METHODS["plain"].copy()
    rare[:, labels == 1] = False
    (found,) = compare_contrasts({"a": METHODS["plain"], "b": rare}, [("a", "b")], labels, "mean_class_accuracy")
    assert found.difference == pytest.approx(METHODS["plain"][:, 950:].mean() / 2)


@pytest.mark.parametrize("pair", [("ds", "nope"), ("nope", "ds"), ("ds", "ds"), ("ds",), ("ds", "conv", "lgm")])
def test_invalid_pair_is_rejected(pair: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="`pairs`"):
        compare_contrasts(METHODS, [pair])  # type: ignore[list-item]


def test_no_pairs_give_no_comparisons() -> None:
    assert compare_contrasts(METHODS, []) == []
