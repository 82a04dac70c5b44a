"""Metrics computed for many confusion matrices at once match scikit-learn for each."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from mfer_lightning.evaluation.statistics.count_metrics import FROM_COUNTS

REFERENCE = {
    "accuracy": sk.accuracy_score,
    "mean_class_accuracy": sk.balanced_accuracy_score,
    "macro_f1": lambda y, p: sk.f1_score(y, p, average="macro", labels=np.unique(y)),
    "weighted_f1": lambda y, p: sk.f1_score(y, p, average="weighted"),
    "cohen_kappa": sk.cohen_kappa_score,
}


@pytest.mark.parametrize("name", sorted(REFERENCE))
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_each_metric_matches_scikit_learn(name: str) -> None:
    assert set(REFERENCE) == set(FROM_COUNTS)
    rng = np.random.default_rng(0)
    truths = [rng.choice([0, 2, 3], 60) for _ in range(5)] + [rng.integers(0, 4, 60) for _ in range(5)]  # 1 is absent
    preds = [np.where(rng.random(60) < 0.6, y, rng.integers(0, 4, 60)) for y in truths]
    confusions = np.stack([sk.confusion_matrix(y, p, labels=range(4)) for y, p in zip(truths, preds, strict=True)])
    expected = [REFERENCE[name](y, p) for y, p in zip(truths, preds, strict=True)]
    assert FROM_COUNTS[name](confusions) == pytest.approx(expected, abs=1e-12)


def test_kappa_of_a_single_class_is_undefined() -> None:
    assert np.isnan(FROM_COUNTS["cohen_kappa"](np.array([[[5, 0], [0, 0]]]))).all()
