"""Intervals of a result's metrics: the right kind, computed quickly, and optional in the schema."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from evaluation.statistics.test_bootstrap import table
from evaluation.test_schema import whole

from mfer_lightning.evaluation.intervals import mean_of_wilson, wilson
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.schema import validate_result
from mfer_lightning.evaluation.share_interval import share_interval
from mfer_lightning.evaluation.statistics import bootstrap_intervals
from mfer_lightning.evaluation.uncertainty import annotator_figures, metric_intervals


def test_each_metric_uses_its_preferred_interval() -> None:
    base = table(600, votes=True)
    found, figures = metric_intervals(base), evaluate(base)
    assert set(found) == set(figures["metrics"])
    assert found["accuracy"] == list(wilson(int((base.pred == base.label).sum()), 600))
    top2 = round(figures["metrics"]["top2_accuracy"] * 600)
    assert found["top2_accuracy"] == list(wilson(top2, 600))
    hits = [row[k] for k, row in enumerate(figures["confusion"])]
    assert found["mean_class_accuracy"] == list(mean_of_wilson(hits, [sum(row) for row in figures["confusion"]]))
    assert found["macro_f1"] == list(bootstrap_intervals(base)["macro_f1"])


def test_faces_of_a_single_person_have_no_interval() -> None:
    found = metric_intervals(table(60), np.zeros(60, dtype=np.int64))
    assert found["accuracy"] is found["nll"] is None
    assert set(found) == set(metric_intervals(table(60)))


def test_faces_of_one_photo_are_not_independent() -> None:
    base = table(100)
    copies = base.select(np.repeat(np.arange(100), 8))
    groups = np.repeat(np.arange(100), 8)
    apart, together = metric_intervals(copies), metric_intervals(copies, groups)
    for name in ("accuracy", "mean_class_accuracy", "top2_accuracy", "nll"):
        assert np.diff(together[name])[0] > 2 * np.diff(apart[name])[0], name
    assert metric_intervals(base, np.arange(100)) == metric_intervals(base)  # groups of one face change nothing


def test_degenerate_resamples_give_a_wilson_interval_or_none() -> None:
    base = table(100)
    right = base.select(np.flatnonzero(base.pred == base.label))
    for few in (metric_intervals(right, np.arange(len(right)) // 3), metric_intervals(right)):
        assert few["accuracy"] == list(wilson(len(right), len(right)))
        assert few["macro_f1"] is None  # every resample is the same
    one_person = metric_intervals(base, np.zeros(100, dtype=int))
    assert set(one_person.values()) == {None}  # one person gives no information about the variation between people


def test_lists_and_robustness_cards_use_the_same_intervals() -> None:
    base, groups = table(120), np.arange(120) // 4
    low, high = metric_intervals(base, groups)["accuracy"]
    assert share_interval(base.pred == base.label, base.label, groups) == pytest.approx((low, high))


def test_intervals_are_computed_quickly() -> None:
    base = table(10_000, votes=True)
    started = time.process_time()
    metric_intervals(base)
    annotator_figures(base)
    assert time.process_time() - started < 2.5  # 0.4 s measured


def test_results_contain_intervals_but_older_ones_need_not() -> None:
    base = table(60, votes=True)
    result = whole() | {"intervals": metric_intervals(base), "annotators": annotator_figures(base)}
    assert validate_result(json.loads(json.dumps(result, allow_nan=False)))["intervals"] == result["intervals"]
    assert "intervals" not in validate_result(whole())


@pytest.mark.parametrize("ends", [[0.9, 0.1], [0.1], ["a", "b"], 0.5, [True, True]])
def test_invalid_interval_is_reported(ends: object) -> None:
    with pytest.raises(ValueError, match=r"intervals.accuracy is"):
        validate_result(whole() | {"intervals": {"accuracy": ends, "cohen_kappa": None}})
    with pytest.raises(ValueError, match="intervals is of type list"):
        validate_result(whole() | {"intervals": [ends]})


class TestMeanOfWilson:
    def test_single_proportion_equals_wilson(self) -> None:
        assert mean_of_wilson([37], [74]) == pytest.approx(wilson(37, 74))

    def test_large_classes_match_the_normal_interval(self) -> None:
        n, p = 4_000_000, np.array([0.6, 0.9])
        half = 1.959964 * np.sqrt((p * (1 - p) / n).sum()) / 2
        assert mean_of_wilson((p * n).astype(int).tolist(), [n, n]) == pytest.approx(
            (0.75 - half, 0.75 + half), abs=1e-5
        )

    def test_all_correct_does_not_give_certainty(self) -> None:
        low, high = mean_of_wilson([12, 12], [12, 12])
        assert high == 1
        assert 0.8 < low < 0.9

    def test_small_classes_have_nominal_coverage(self) -> None:
        rng, p, n = np.random.default_rng(0), np.linspace(0.55, 0.95, 7), 16
        drawn = rng.binomial(n, p, (300, 7))
        held = [low <= p.mean() <= high for low, high in (mean_of_wilson(row.tolist(), [n] * 7) for row in drawn)]
        assert 0.9 < np.mean(held) < 0.99

    def test_invalid_arguments_raise_value_error(self) -> None:
        with pytest.raises(ValueError, match="same length"):
            mean_of_wilson([1], [1, 2])
        with pytest.raises(ValueError, match="successes"):
            mean_of_wilson([3], [2])
