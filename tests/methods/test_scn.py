"""SCN against a naive reference in float64, and the effect of its relabelling."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.losses import CrossEntropy, MultiTargetLoss, Objective
from mfer_lightning.methods import SCN, Step
from mfer_lightning.methods.scn import rank_regularisation
from mfer_lightning.nn import MFER


def scn(network: MFER, **options: float) -> SCN:
    torch.manual_seed(2)
    return SCN(feature_dim=network.feature_dim, num_faces=12, **options).double()  # type: ignore[arg-type]


def naive_rank(weights: list[float], share: float, margin: float) -> float:
    """The paper's formula with lists: the groups' means must differ by the margin."""
    ordered = sorted(weights, reverse=True)
    high = int(len(ordered) * share)
    upper, lower = ordered[:high], ordered[high:]
    return max(0.0, margin - (sum(upper) / len(upper) - sum(lower) / len(lower)))


class TestFormula:
    def test_matches_the_formula(self, network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
        method = scn(network, rank_margin=0.5)
        terms = method(batch, step)
        output = network(batch["image"])
        loss, weights = 0.0, []
        for feature, logits, label in zip(output["feature"], output["logits"], batch["label"], strict=True):
            z = float(feature @ method.certainty.weight[0] + method.certainty.bias[0])
            weights.append(float(torch.tensor(z, dtype=torch.float32).sigmoid()))
            loss += float(F.cross_entropy(weights[-1] * logits[None], label[None])) / len(batch["label"])
        rank = naive_rank(weights, 0.7, 0.5)
        assert rank > 0
        assert float(terms["rank"]) == pytest.approx(rank, abs=1e-6)
        assert float(terms["classification"]) == pytest.approx(loss, rel=1e-6)
        assert float(terms["total"]) == pytest.approx(loss + rank, rel=1e-6)
        assert float(terms["certainty"]) == pytest.approx(sum(weights) / 6, rel=1e-6)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 1.0])
    def test_each_group_has_at_least_one_face(self, share: float) -> None:
        weight = torch.tensor([0.9, 0.2], dtype=torch.float64)
        assert float(rank_regularisation(weight, share, 1.0)) == pytest.approx(0.3)

    def test_single_face_has_zero_rank_loss(self) -> None:
        weight = torch.tensor([0.9], requires_grad=True)
        rank_regularisation(weight, 0.7, 0.15).backward()
        assert weight.grad is not None
        assert float(weight.grad) == 0

    def test_gradient_matches_finite_differences(self) -> None:
        weight = torch.tensor([0.9, 0.3, 0.5, 0.52, 0.1], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda w: rank_regularisation(w, 0.7, 0.8), (weight,))


class TestRelabelling:
    def test_uncertain_faces_get_the_predicted_class(self, network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
        network.head.fc.weight.data *= 40
        method = scn(network, relabel_margin=0.2)
        before = method(batch, replace(step, epoch=0))
        assert float(before["relabelled"]) == 0
        assert (method.labels.changed == -1).all()
        weight = torch.sigmoid(method.certainty(network(batch["image"])["feature"]))
        probability = (weight * network(batch["image"])["logits"]).softmax(1)
        expected = {}
        for row, label, p in zip(batch["index"].tolist(), batch["label"].tolist(), probability, strict=True):
            if p.max() - p[label] > 0.2:
                expected[row] = int(p.argmax())
        assert 0 < len(expected) < 6, "the test needs faces of both kinds"
        terms = method(batch, step)
        assert {i: int(c) for i, c in enumerate(method.labels.changed) if c >= 0} == expected
        assert float(terms["relabelled"]) == pytest.approx(len(expected) / 6)
        again = method(batch, step)
        assert float(again["classification"]) < float(terms["classification"])
        assert float(again["relabelled"]) == 0

    @pytest.mark.parametrize(("epoch", "changes"), [(8, False), (9, True)])
    def test_relabelling_starts_at_its_epoch_counted_from_one(
        self, network: MFER, step: Step, batch: dict[str, Tensor], epoch: int, changes: bool
    ) -> None:
        network.head.fc.weight.data *= 40
        method = scn(network, relabel_epoch=10)
        method(batch, replace(step, epoch=epoch))
        assert bool((method.labels.changed >= 0).any()) is changes

    def test_second_sam_pass_changes_no_label(self, network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
        network.head.fc.weight.data *= 40
        method = scn(network)
        method(batch, replace(step, repeated=True))
        assert (method.labels.changed == -1).all()

    def test_changed_labels_are_part_of_the_state(self, network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
        network.head.fc.weight.data *= 40
        method, other = scn(network), scn(network)
        method(batch, step)
        other.load_state_dict(method.state_dict())
        assert torch.equal(other.labels.changed, method.labels.changed)
        assert float(other(batch, step)["total"]) == float(method(batch, step)["total"])


class TestErrors:
    @pytest.mark.parametrize(
        ("option", "value"),
        [("high_share", 1.5), ("rank_margin", -0.1), ("relabel_margin", 2.0), ("relabel_epoch", 0), ("num_faces", 0)],
    )
    def test_out_of_range_argument(self, option: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"`{option}`"):
            SCN(**{"feature_dim": 4, "num_faces": 3, option: value})  # type: ignore[arg-type]

    def test_class_set_targets_are_rejected(self, network: MFER) -> None:
        with pytest.raises(UserError, match="method=baseline"):
            scn(network).check(network, Objective(MultiTargetLoss()))
        scn(network).check(network, Objective(CrossEntropy()))
