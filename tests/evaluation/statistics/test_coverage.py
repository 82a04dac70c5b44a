"""Intervals contain the true value in 94 to 96% of test sets with 500 samples per class (slow)."""

from __future__ import annotations

import numpy as np
import pytest
from class_orders import CLASS_ORDERS

from mfer_lightning.evaluation.face_metrics import face_values
from mfer_lightning.evaluation.intervals import mean_of_wilson, wilson
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.statistics import bootstrap_intervals
from mfer_lightning.evaluation.statistics.count_metrics import FROM_COUNTS

NAMES = CLASS_ORDERS["rafdb"]


def draw(samples: int, rng: np.random.Generator) -> Predictions:
    """Draw a test set, and predictions of a model with recalls from 68 to 97%."""
    label = np.repeat(np.arange(7), samples)
    logits = rng.standard_normal((len(label), 7), dtype=np.float32)
    logits[np.arange(len(label)), label] += np.linspace(1.8, 3.4, 7, dtype=np.float32)[label]
    logits[:, 4] += np.float32(0.4)  # one class is predicted too often
    return Predictions(np.arange(len(label)), np.zeros(len(label), dtype="U1"), label, logits, NAMES)


def confusion(table: Predictions) -> np.ndarray:
    return np.bincount(table.label * 7 + table.pred, minlength=49).reshape(7, 7)


@pytest.fixture(scope="module")
def truth() -> dict[str, float]:
    whole = draw(150_000, np.random.default_rng(99))
    found = {name: float(figure(confusion(whole)[None])[0]) for name, figure in FROM_COUNTS.items()}
    return found | {name: float(values.mean()) for name, (values, _) in face_values(whole).items()}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("metrics", "repetitions"),
    [(tuple(FROM_COUNTS), 4000), (("nll", "brier", "top2_accuracy"), 1500)],
    ids=["from counts", "from faces"],
)
def test_bootstrap_has_nominal_coverage(metrics: tuple[str, ...], repetitions: int, truth: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    held = dict.fromkeys(metrics, 0)
    for repetition in range(repetitions):
        found = bootstrap_intervals(draw(500, rng), metrics, resamples=400, seed=repetition)
        for name, (low, high) in found.items():
            held[name] += low <= truth[name] <= high
    coverage = {name: count / repetitions for name, count in held.items()}
    print(coverage)
    assert all(0.94 <= share <= 0.96 for share in coverage.values()), coverage


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_wilson_interval_has_nominal_coverage() -> None:
    """Coverage for accuracy and for mean-class accuracy, with random class counts."""
    rng, recall = np.random.default_rng(0), np.linspace(0.68, 0.97, 7)
    held = np.zeros(2)
    for _ in range(3000):
        counts = rng.multinomial(7 * 500, np.full(7, 1 / 7))
        hits = rng.binomial(counts, recall)
        for place, (low, high) in enumerate(
            (wilson(int(hits.sum()), 3500), mean_of_wilson(hits.tolist(), counts.tolist()))
        ):
            held[place] += low <= recall.mean() <= high
    print(held / 3000)
    assert ((held / 3000 >= 0.94) & (held / 3000 <= 0.96)).all(), held / 3000
