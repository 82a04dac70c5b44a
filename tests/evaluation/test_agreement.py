"""Annotators: hand-computed cases, a published kappa, and simulated annotators."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.evaluation.agreement import accuracy_by_agreement, fleiss_kappa, single_annotator_agreement
from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.uncertainty import annotator_figures

NAMES = ("anger", "fear", "happiness")


def table(votes: list[list[int]] | np.ndarray, pred: list[int], label: list[int] | None = None) -> Predictions:
    n = len(votes)
    label = np.argmax(votes, axis=1) if label is None else label
    return Predictions(np.arange(n), [""] * n, label, np.eye(3)[pred], NAMES, votes=votes, vote_names=(*NAMES, "NF"))


def test_bins_by_hand() -> None:
    votes = [[10, 0, 0, 0], [9, 1, 0, 0], [7, 0, 0, 3], [7, 3, 0, 0], [4, 3, 3, 0]]
    found = accuracy_by_agreement(table(votes, [0, 1, 0, 1, 0]))
    assert [(b.low, b.high, b.n, b.accuracy) for b in found] == [
        (0.0, 0.5, 1, 1.0),
        (0.7, 0.8, 2, 0.5),
        (0.9, 1.0, 2, 0.5),
    ]
    assert found[1].interval == wilson(1, 2)
    assert [b.n for b in accuracy_by_agreement(table(votes, [0] * 5), edges=(0.0, 1.0))] == [5]


def test_rows_without_label_or_votes_are_ignored() -> None:
    found = accuracy_by_agreement(table([[10, 0, 0, 0], [0, 0, 0, 0], [10, 0, 0, 0]], [0, 0, 0], label=[0, 0, -1]))
    assert [b.n for b in found] == [1]


def test_one_annotator_against_the_others_by_hand() -> None:
    # 3:1 -> three agree with 2:1, one does not; 2:2 -> each meets 1:2 and disagrees; 4:0 -> all agree
    found = single_annotator_agreement(table([[3, 1, 0, 0], [2, 2, 0, 0], [4, 0, 0, 0]], [0, 0, 0]))
    assert found == pytest.approx((3 / 4 + 0 + 1) / 3)
    # 2:1:1 -> each of the two meets 1:1:1, a tie of three, and counts 1/3; the others disagree
    assert single_annotator_agreement(table([[2, 1, 1, 0]], [0])) == pytest.approx(2 * (1 / 3) / 4)


def test_model_can_exceed_single_annotator_agreement() -> None:
    """Annotators with 70% and a model with 90% accuracy: the reference stays below the model."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    p = np.where(np.eye(3)[truth] > 0, 0.7, 0.15)
    votes = np.stack([rng.multinomial(10, row) for row in p])
    pred = np.where(rng.random(2000) < 0.9, truth, (truth + 1) % 3)
    found = Predictions(
        np.arange(2000), [""] * 2000, votes.argmax(1), np.eye(3)[pred], NAMES, votes=votes, vote_names=NAMES
    )
    reference = single_annotator_agreement(found)
    assert 0.6 < reference < 0.71 < (found.pred == found.label).mean()


def test_kappa_matches_the_published_example() -> None:
    """The worked example in Wikipedia's "Fleiss' kappa": 14 raters, 10 subjects, 5 categories, kappa 0.210."""
    votes = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    assert fleiss_kappa(np.array(votes)) == pytest.approx(0.210, abs=5e-4)


def test_kappa_extremes() -> None:
    assert fleiss_kappa(np.array([[5, 0], [0, 5]])) == pytest.approx(1)
    assert fleiss_kappa(np.array([[5, 0], [5, 0]])) is None
    assert fleiss_kappa(np.array([[1, 0]])) is None


def test_agreement_metrics_of_a_result_and_when_they_are_missing() -> None:
    found = annotator_figures(table([[3, 1, 0, 0], [4, 0, 0, 0]], [0, 0]))
    assert found is not None
    assert found["single_annotator"] == pytest.approx((3 / 4 + 1) / 2)
    assert [b["n"] for b in found["by_agreement"]] == [1, 1]
    assert annotator_figures(table([[1, 0, 0, 0]], [0])) is None
    assert annotator_figures(Predictions([0], [""], [0], [[1, 0, 0]], NAMES)) is None


def test_invalid_arguments_raise_value_error() -> None:
    with pytest.raises(ValueError, match="edges"):
        accuracy_by_agreement(table([[3, 1, 0, 0]], [0]), edges=(1.0, 0.0))
    with pytest.raises(ValueError, match="contain votes"):
        accuracy_by_agreement(Predictions([0], [""], [0], [[1, 0, 0]], NAMES))
    with pytest.raises(ValueError, match="two votes"):
        single_annotator_agreement(table([[1, 0, 0, 0]], [0]))
