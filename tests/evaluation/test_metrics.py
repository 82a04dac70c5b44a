"""Every metric equals scikit-learn, torchmetrics, PyTorch or a hand-computed case."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from class_orders import CLASS_ORDERS
from sklearn import metrics as sk
from torchmetrics import functional as tm

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions

NAMES = CLASS_ORDERS["ferplus"]
TOLERANCE = 1e-6


def random_table(n: int = 700, k: int = 8, seed: int = 0, skill: float = 2.0) -> Predictions:
    rng = np.random.default_rng(seed)
    label = rng.choice(k, n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    logits = rng.normal(size=(n, k)) + skill * np.eye(k)[label]
    return Predictions(np.arange(n), [str(i) for i in range(n)], label, logits, NAMES[:k])


def hand_table(label: list[int], pred: list[int], k: int, **more: object) -> Predictions:
    """Build a table whose predictions are given; their probability is e^2 / (e^2 + k - 1)."""
    n = len(label)
    return Predictions(np.arange(n), [""] * n, label, 2.0 * np.eye(k)[pred], NAMES[:k], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
class TestAgainstLibraries:
    def test_hard_metrics_match_scikit_learn(self, seed: int) -> None:
        table = random_table(seed=seed)
        found, y, p = evaluate(table)["metrics"], table.label, table.pred
        expected = {
            "accuracy": sk.accuracy_score(y, p),
            "mean_class_accuracy": sk.balanced_accuracy_score(y, p),
            "macro_f1": sk.f1_score(y, p, average="macro"),
            "weighted_f1": sk.f1_score(y, p, average="weighted"),
            "top2_accuracy": sk.top_k_accuracy_score(y, table.logits, k=2, labels=range(8)),
            "cohen_kappa": sk.cohen_kappa_score(y, p),
            "nll": sk.log_loss(y, table.probabilities, labels=range(8)),
        }
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=TOLERANCE)

    def test_metrics_match_torchmetrics(self, seed: int) -> None:
        table = random_table(seed=seed)
        found = evaluate(table)["metrics"]
        p, y = torch.from_numpy(table.probabilities), torch.from_numpy(table.label)
        expected = {
            "accuracy": tm.classification.multiclass_accuracy(p, y, 8, average="micro"),
            "mean_class_accuracy": tm.classification.multiclass_recall(p, y, 8, average="macro"),
            "macro_f1": tm.classification.multiclass_f1_score(p, y, 8, average="macro"),
            "top2_accuracy": tm.classification.multiclass_accuracy(p, y, 8, average="micro", top_k=2),
            "cohen_kappa": tm.classification.multiclass_cohen_kappa(p, y, 8),
        }
        assert {name: found[name] for name in expected} == pytest.approx(
            {name: float(value) for name, value in expected.items()}, abs=TOLERANCE
        )

    def test_per_class_metrics_and_confusion_match_scikit_learn(self, seed: int) -> None:
        table = random_table(seed=seed)
        found = evaluate(table)
        columns = sk.precision_recall_fscore_support(table.label, table.pred, labels=range(8))
        for k, name in enumerate(NAMES):
            row = found["per_class"][name]
            assert [row["precision"], row["recall"], row["f1"], row["n"]] == pytest.approx([c[k] for c in columns])
        expected = sk.confusion_matrix(table.label, table.pred, labels=range(8))
        assert found["confusion"] == expected.tolist()

    def test_nll_and_brier_match_pytorch(self, seed: int) -> None:
        table = random_table(seed=seed)
        found = evaluate(table)["metrics"]
        z, y = torch.from_numpy(table.logits).double(), torch.from_numpy(table.label)
        brier = (z.softmax(1) - torch.nn.functional.one_hot(y, 8)).square().sum(1).mean()
        assert found["nll"] == pytest.approx(float(torch.nn.functional.cross_entropy(z, y)), abs=TOLERANCE)
        assert found["brier"] == pytest.approx(float(brier), abs=TOLERANCE)

    def test_divergence_from_votes_matches_pytorch(self, seed: int) -> None:
        base, rng = random_table(seed=seed), np.random.default_rng(seed)
        votes = rng.integers(1, 6, (len(base), 8))
        table = Predictions(base.index, base.path, base.label, base.logits, NAMES, votes=votes, vote_names=NAMES)
        found = evaluate(table)["metrics"]
        q = torch.from_numpy(votes / votes.sum(axis=1, keepdims=True))
        log_p = torch.from_numpy(table.logits).double().log_softmax(1)
        kl = torch.nn.functional.kl_div(log_p, q, reduction="batchmean")
        assert found["kl_to_votes"] == pytest.approx(float(kl), abs=TOLERANCE)
        assert found["cross_entropy_to_votes"] == pytest.approx(
            float(torch.nn.functional.cross_entropy(torch.from_numpy(table.logits).double(), q)), abs=TOLERANCE
        )


class TestHandComputed:
    def test_small_example_computed_by_hand(self) -> None:
        #                       truth 0: 3 of 4 right, one predicted 1; truth 1: 1 of 2 right, one predicted 0
        found = evaluate(hand_table([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0], 2))
        assert found["confusion"] == [[3, 1], [1, 1]]
        right, wrong = np.e**2 / (np.e**2 + 1), 1 / (np.e**2 + 1)
        expected = {
            "accuracy": 4 / 6,
            "mean_class_accuracy": (3 / 4 + 1 / 2) / 2,
            "macro_f1": (3 / 4 + 1 / 2) / 2,
            "weighted_f1": (4 * 3 / 4 + 2 * 1 / 2) / 6,
            "top2_accuracy": 1.0,
            "cohen_kappa": (4 / 6 - 20 / 36) / (1 - 20 / 36),  # chance: (4/6)^2 + (2/6)^2
            "nll": -(4 * np.log(right) + 2 * np.log(wrong)) / 6,
            "brier": (4 * 2 * wrong**2 + 2 * 2 * right**2) / 6,
            "ece": right - 4 / 6,  # one confidence only, so one bin
        }
        assert found["metrics"] == pytest.approx(expected, abs=TOLERANCE)

    def test_class_without_samples_is_excluded_from_means(self) -> None:
        found = evaluate(hand_table([0, 0, 1, 1], [0, 2, 1, 1], 4))
        assert found["per_class"][NAMES[2]] == {"n": 0, "precision": 0.0, "recall": None, "f1": None}
        assert found["per_class"][NAMES[3]] == {"n": 0, "precision": None, "recall": None, "f1": None}
        assert found["metrics"]["mean_class_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
        assert found["metrics"]["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
        assert found["notes"] == [
            f"No samples of {NAMES[2]}, {NAMES[3]}: no recall, and left out of the means over classes."
        ]

    def test_class_that_is_never_predicted_is_noted(self) -> None:
        found = evaluate(hand_table([0, 1], [0, 0], 2))
        assert found["per_class"][NAMES[1]] == {"n": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0}
        assert found["notes"] == [f"Never predicted: {NAMES[1]} (precision counts as 0)."]

    def test_kappa_is_undefined_for_a_single_class(self) -> None:
        found = evaluate(hand_table([1, 1], [1, 1], 3))
        assert found["metrics"]["cohen_kappa"] is None
        assert found["metrics"]["accuracy"] == 1.0

    def test_top2_breaks_ties_like_the_prediction(self) -> None:
        table = Predictions([0, 1, 2], [""] * 3, [0, 1, 2], np.zeros((3, 3)), NAMES[:3])
        found = evaluate(table)["metrics"]
        assert table.pred.tolist() == [0, 0, 0]
        assert (found["accuracy"], found["top2_accuracy"]) == pytest.approx((1 / 3, 2 / 3))

    def test_votes_for_no_class_are_ignored_and_noted(self) -> None:
        # names in a different order from the classes, and one face without votes for any class
        votes = [[1, 0, 1], [3, 0, 0]]
        table = hand_table([0, 1], [0, 1], 2, votes=votes, vote_names=("NF", NAMES[1], NAMES[0]))
        found = evaluate(table)
        right = np.e**2 / (np.e**2 + 1)
        assert found["metrics"]["kl_to_votes"] == pytest.approx(-np.log(right), abs=TOLERANCE)
        assert any("Votes for nf" in note for note in found["notes"])
        assert any("comparison with votes: 1 row without a vote for any class." in note for note in found["notes"])

    def test_soft_targets_replace_missing_votes_but_hard_ones_do_not(self) -> None:
        soft = evaluate(hand_table([0, 1], [0, 1], 2, target=[[0.5, 0.5], [0.0, 1.0]]))
        right, wrong = np.e**2 / (np.e**2 + 1), 1 / (np.e**2 + 1)
        first = -(np.log(right) + np.log(wrong)) / 2
        assert soft["metrics"]["cross_entropy_to_votes"] == pytest.approx((first - np.log(right)) / 2, abs=TOLERANCE)
        assert soft["metrics"]["kl_to_votes"] == pytest.approx((first - np.log(2) - np.log(right)) / 2, abs=TOLERANCE)
        assert any("soft targets" in note for note in soft["notes"])
        hard = evaluate(hand_table([0, 1], [0, 1], 2, target=[[1.0, 0.0], [0.0, 1.0]]))
        assert "kl_to_votes" not in hard["metrics"]

    def test_divergence_stays_finite_if_a_probability_underflows(self) -> None:
        table = Predictions([0], [""], [0], [[0.0, 2000.0]], NAMES[:2], votes=[[1, 0]], vote_names=NAMES[:2])
        assert evaluate(table)["metrics"]["kl_to_votes"] == pytest.approx(2000.0)


class TestRows:
    def test_padding_and_unlabelled_rows_are_ignored(self) -> None:
        base = random_table(50)
        index, label = base.index.copy(), base.label.copy()
        index[:5], label[5:12] = -1, -1
        found = evaluate(Predictions(index, base.path, label, base.logits, NAMES))
        expected = evaluate(base.select(np.arange(12, 50)))
        assert found["metrics"] == expected["metrics"]
        assert found["n"] == 38
        assert found["notes"][0] == "Left out: 7 rows without a label."

    def test_row_order_does_not_matter(self) -> None:
        table = random_table(300)
        shuffled = table.select(np.random.default_rng(3).permutation(300))
        assert evaluate(shuffled)["metrics"] == pytest.approx(evaluate(table)["metrics"], abs=1e-12)

    def test_missing_labels_raise_value_error(self) -> None:
        with pytest.raises(ValueError, match="none of 2 rows has one"):
            evaluate(hand_table([-1, -1], [0, 1], 2))

    def test_result_is_plain_json(self) -> None:
        found = evaluate(random_table(40))
        assert json.loads(json.dumps(found, allow_nan=False)) == found
