"""Bootstrap intervals in cases with a known answer, and their speed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from class_orders import CLASS_ORDERS
from scipy import stats

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.statistics import BOOTSTRAPPED, bootstrap_interval, bootstrap_intervals
from mfer_lightning.evaluation.statistics.resample import resample_weights
from mfer_lightning.evaluation.valence_arousal import FIGURES

NAMES = CLASS_ORDERS["ferplus"]


def table(n: int = 800, seed: int = 0, votes: bool = False) -> Predictions:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 8, n)
    logits = rng.normal(size=(n, 8)) + 2 * np.eye(8)[label]
    more = {"votes": rng.multinomial(10, np.full(8, 1 / 8), n), "vote_names": NAMES} if votes else {}
    return Predictions(np.arange(n), [str(i) for i in range(n)], label, logits, NAMES, **more)


def test_every_metric_has_an_interval_that_contains_it() -> None:
    base = table(votes=True)
    figures, found = evaluate(base)["metrics"], bootstrap_intervals(base, resamples=300)
    assert set(found) == set(figures) == set(BOOTSTRAPPED) - set(FIGURES)  # valence and arousal: test_valence_arousal
    for name, value in figures.items():
        low, high = found[name]
        assert low < value < high, name
        assert high - low < 0.3, name


def test_accuracy_matches_the_exact_binomial_distribution() -> None:
    label = np.zeros(200, dtype=int)
    base = Predictions(range(200), [""] * 200, label, np.eye(2)[[0] * 150 + [1] * 50], NAMES[:2])
    low, high = bootstrap_interval(base, "accuracy", resamples=40_000)
    expected = stats.binom.ppf([0.025, 0.975], 200, 0.75) / 200
    assert (low, high) == pytest.approx(tuple(expected), abs=0.0051)


def test_mean_over_faces_has_the_theoretical_spread() -> None:
    base = table(2000)
    nll = -np.log(base.probabilities[np.arange(2000), base.label])
    within = sum(nll[base.label == k].var() * (base.label == k).sum() for k in range(8))
    low, high = bootstrap_interval(base, "nll", resamples=4000)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(within) / 2000, rel=0.05)
    assert (low + high) / 2 == pytest.approx(nll.mean(), abs=0.002)


def test_resampling_keeps_class_counts() -> None:
    strata = np.array([0, 0, 1, 1, 1, 2])
    weights = np.concatenate(list(resample_weights(strata, None, 500, np.random.default_rng(0))))
    assert weights.shape == (500, 6)
    for k, n in enumerate((2, 3, 1)):
        assert (weights[:, strata == k].sum(axis=1) == n).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.12)


def test_groups_are_resampled_whole_and_widen_the_interval() -> None:
    strata = np.repeat([0, 1], 20)
    groups = np.repeat(np.arange(10), 4)
    weights = np.concatenate(list(resample_weights(strata, groups, 50, np.random.default_rng(0))))
    assert (weights.reshape(50, 10, 4) == weights.reshape(50, 10, 4)[:, :, :1]).all()
    # ten copies of each face contain no additional information
    base = table(120)
    copies = base.select(np.repeat(np.arange(120), 10))
    for metric in ("macro_f1", "nll"):
        one = np.diff(bootstrap_interval(base, metric))[0]
        whole = np.diff(bootstrap_interval(copies, metric, groups=np.repeat(np.arange(120), 10)))[0]
        apart = np.diff(bootstrap_interval(copies, metric))[0]
        assert whole == pytest.approx(one, rel=0.15)
        assert apart < one / 2.5


def test_seeded_and_independent_of_padding_and_unlabelled_rows() -> None:
    base = table(100)
    assert bootstrap_interval(base, "ece", seed=3) == bootstrap_interval(base, "ece", seed=3)
    assert bootstrap_interval(base, "brier", seed=3) != bootstrap_interval(base, "brier", seed=4)
    index, label = base.index.copy(), base.label.copy()
    index[0], label[1] = -1, -1
    holed = Predictions(index, base.path, label, base.logits, NAMES)
    assert bootstrap_interval(holed, "macro_f1") == bootstrap_interval(base.select(np.arange(2, 100)), "macro_f1")


def test_undefined_metric_has_no_interval() -> None:
    base = Predictions([0, 1], ["", ""], [0, 0], [[1, 0], [1, 0]], NAMES[:2])
    assert bootstrap_interval(base, "cohen_kappa") is None


def test_ten_thousand_faces_take_seconds() -> None:
    base = table(10_000)
    started = time.process_time()
    bootstrap_intervals(base, ("accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "cohen_kappa"))
    quick = time.process_time() - started
    bootstrap_intervals(base)
    assert quick < 1  # 0.1 s on an idle machine
    assert time.process_time() - started < 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metric_name": "auc"}, "metric_names"),
        ({"metric_name": "kl_to_votes"}, "metric_names"),
        ({"metric_name": "ece", "resamples": 0}, "resamples"),
        ({"metric_name": "ece", "confidence": 1.0}, "confidence"),
        ({"metric_name": "ece", "groups": np.zeros(3, dtype=int)}, "groups"),
    ],
)
def test_invalid_arguments_raise_value_error(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bootstrap_interval(table(20), **arguments)


def test_unlabelled_table_raises_value_error() -> None:
    with pytest.raises(ValueError, match="no row has one"):
        bootstrap_interval(Predictions([0], [""], [-1], [[0, 1]], NAMES[:2]), "accuracy")
