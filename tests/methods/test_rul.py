"""RUL against a naive reference in float64, and the effect of its uncertainty."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.losses import AffinityLoss, CenterLoss, CrossEntropy, Objective
from mfer_lightning.methods import RUL, Step
from mfer_lightning.methods.random_by_face import uniforms
from mfer_lightning.methods.rul import mix, partners
from mfer_lightning.nn import MFER


def rul(network: MFER, **options: float) -> RUL:
    torch.manual_seed(2)
    method = RUL(feature_dim=network.feature_dim, width=5, **options).double()  # type: ignore[arg-type]
    method.scale.data.uniform_(0.5, 1.5)
    method.shift.data.uniform_(-0.5, 0.5)
    return method


def standardised(rows: list[list[float]]) -> list[list[float]]:
    columns = list(zip(*rows, strict=True))
    means = [sum(c) / len(c) for c in columns]
    stds = [math.sqrt(sum((x - m) ** 2 for x in c) / len(c) + 2e-5) for c, m in zip(columns, means, strict=True)]
    return [[(x - m) / s for x, m, s in zip(row, means, stds, strict=True)] for row in rows]


def naive_uncertainty(method: RUL, feature: Tensor, draw: Tensor) -> list[float]:
    """The branch in plain loops."""
    rows = standardised(feature.tolist())
    kept = [[x / (1 - method.dropout) if u >= method.dropout else 0.0 for x, u in zip(*pair, strict=True)]
            for pair in zip(rows, draw.tolist(), strict=True)]  # fmt: skip
    weight, bias = method.branch.weight.tolist(), method.branch.bias.tolist()
    values = [[sum(w * x for w, x in zip(ws, row, strict=True)) + b for ws, b in zip(weight, bias, strict=True)]
              for row in kept]  # fmt: skip
    scale, shift = method.scale.tolist(), method.shift.tolist()
    return [
        sum(math.exp(s * v + t) for v, s, t in zip(row, scale, shift, strict=True)) / method.width
        for row in standardised(values)
    ]


class TestFormula:
    def test_matches_the_formula(self, network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
        method = rul(network, dropout=0.4, seed=3)
        terms = method(batch, step)
        with torch.no_grad():
            feature = network(batch["image"])["feature"]
        draw = uniforms(3, step.epoch, batch["index"], 1 + network.feature_dim)
        uncertain = naive_uncertainty(method, feature, draw[:, 1:])
        order = sorted(range(6), key=lambda i: float(draw[i, 0]))
        loss = 0.0
        for place, a in enumerate(order):
            b = order[(place + 1) % 6]
            mixed = (uncertain[a] * feature[a] + uncertain[b] * feature[b]) / (uncertain[a] + uncertain[b])
            logits = network.head(mixed[None])[0].detach()
            loss += 0.5 * float(F.cross_entropy(logits, batch["label"][a][None])) / 6
            loss += 0.5 * float(F.cross_entropy(logits, batch["label"][b][None])) / 6
        assert len(set(uncertain)) == 6
        assert float(terms["classification"]) == pytest.approx(loss, rel=1e-9)
        assert float(terms["total"]) == pytest.approx(loss, rel=1e-9)
        assert float(terms["uncertainty"]) == pytest.approx(sum(uncertain) / 6, rel=1e-9)
        assert float(terms["spread"]) == pytest.approx(
            float(torch.tensor(uncertain).std(correction=0)) / (sum(uncertain) / 6), rel=1e-5
        )

    def test_feature_loss_uses_unmixed_features(self, network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
        torch.manual_seed(0)
        objective = Objective(CrossEntropy(0.0), CenterLoss(3, network.feature_dim)).double()
        terms = rul(network)(batch, replace(step, objective=objective))
        plain = objective(network(batch["image"]), batch["target"])
        assert float(terms["feature"]) == pytest.approx(float(plain["feature"]), rel=1e-9)
        assert float(terms["classification"]) != pytest.approx(float(plain["classification"]), rel=1e-3)

    def test_gradient_matches_finite_differences(self) -> None:
        torch.manual_seed(0)
        method, kept = RUL(4, width=3).double(), torch.rand(5, 4) > 0.4
        feature = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
        partner = torch.tensor([1, 2, 3, 4, 0])
        assert torch.autograd.gradcheck(lambda f: mix(f, method.uncertainty(f, kept), partner), (feature,))

    def test_more_uncertain_face_has_more_weight(self) -> None:
        mixed = mix(torch.eye(2), torch.tensor([3.0, 1.0]), torch.tensor([1, 0]))
        assert mixed.tolist() == [[0.75, 0.25], [0.75, 0.25]]


class TestPairs:
    @pytest.mark.parametrize("faces", [2, 3, 8])
    def test_pairing_is_a_permutation_without_fixed_points(self, faces: int) -> None:
        partner = partners(torch.rand(faces))
        assert sorted(partner.tolist()) == list(range(faces))
        assert all(i != p for i, p in enumerate(partner.tolist()))

    def test_pairs_depend_only_on_epoch_and_seed(self, network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
        total = float(rul(network)(batch, step)["total"])
        assert float(rul(network)(batch, step)["total"]) == total
        assert float(rul(network)(batch, replace(step, epoch=3))["total"]) != total
        assert float(rul(network, seed=1)(batch, step)["total"]) != total

    def test_batch_of_one_face_is_trained_without_mixing(
        self, network: MFER, step: Step, batch: dict[str, Tensor]
    ) -> None:
        terms = rul(network)({name: part[:1] for name, part in batch.items()}, step)
        plain = step.objective(network(batch["image"][:1]), batch["target"][:1])
        assert float(terms["total"]) == pytest.approx(float(plain["total"]))


def test_uncertainty_branch_learns_which_face_is_hard() -> None:
    """Face 0 has a weaker feature than face 1: it is visible in the mixture only if it has more weight."""
    torch.manual_seed(0)
    method, partner = RUL(2, width=8, dropout=0.0), torch.tensor([1, 0])
    feature, kept = torch.tensor([[0.2, 0.0], [0.0, 2.0]]), torch.ones(2, 2, dtype=torch.bool)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.05)
    for _ in range(50):
        logits = 5 * mix(feature, method.uncertainty(feature, kept), partner)
        loss = 0.5 * (F.cross_entropy(logits, torch.tensor([0, 1])) + F.cross_entropy(logits, torch.tensor([1, 0])))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weak, strong = method.uncertainty(feature, kept).tolist()
    assert weak > 2 * strong


class TestErrors:
    @pytest.mark.parametrize(("option", "value"), [("width", 0), ("dropout", 1.0), ("feature_dim", 0)])
    def test_out_of_range_argument(self, option: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"`{option}`"):
            RUL(**{"feature_dim": 4, option: value})  # type: ignore[arg-type]

    def test_network_whose_classifier_takes_no_feature_is_rejected(self, network: MFER) -> None:
        objective = Objective(CrossEntropy())
        with pytest.raises(UserError, match=r"no `classify\(feature\)`\. Use network=mfer"):
            RUL(4).check(nn.Linear(4, 2), objective)
        RUL(4).check(network, objective)


def test_every_kind_of_backbone_works(step: Step, batch: dict[str, Tensor]) -> None:
    tokens = {"name": "vit_tiny_patch16_224", "pool": "token", "options": {"depth": 2, "embed_dim": 12, "num_heads": 2}}
    network = MFER(tokens, 3, attention="none", head="multiscale", image_size=64).double()
    terms = RUL(network.feature_dim).double()(batch, replace(step, network=network))
    terms["total"].backward()
    assert all(p.grad is not None for p in network.parameters())


def test_losses_on_other_outputs_use_unmixed_faces_and_labels(
    network: MFER, step: Step, batch: dict[str, Tensor]
) -> None:
    class Affine(nn.Module):
        """A network whose `pooled` differs between faces."""

        def forward(self, image: Tensor) -> dict[str, object]:
            return {**network(image), "pooled": image.mean((2, 3))}

        def classify(self, feature: Tensor) -> tuple[Tensor, ...]:
            return network.classify(feature)

    affinity = AffinityLoss(3, 3).double()
    objective = Objective(CrossEntropy(), terms={"affinity": affinity})
    terms = rul(network)(batch, replace(step, network=Affine(), objective=objective))
    expected = affinity({"pooled": batch["image"].mean((2, 3))}, batch["target"])
    assert float(terms["affinity"].detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
