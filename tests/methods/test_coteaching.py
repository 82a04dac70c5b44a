"""Co-teaching against a naive reference in float64, and the effect of its selection."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.losses import CenterLoss, CrossEntropy, MultiTargetLoss, Objective
from mfer_lightning.methods import CoTeaching, Step, describe_method
from mfer_lightning.methods.coteaching import remember_rate, smallest
from mfer_lightning.module.kept_network import choose, exchange
from mfer_lightning.nn import MFER


@pytest.fixture
def peer(network: MFER) -> MFER:
    torch.manual_seed(9)
    other = MFER(**network.config).double().eval()
    for each in (network, other):
        each.head.fc.weight.data *= 40
    return other


class TestFormula:
    @pytest.mark.parametrize(("epoch", "remembered"), [(0, 6), (2, 4), (4, 3), (20, 3)])
    def test_each_network_learns_the_faces_that_are_easy_for_the_other(
        self, network: MFER, peer: MFER, step: Step, batch: dict[str, Tensor], epoch: int, remembered: int
    ) -> None:
        terms = CoTeaching(peer, forget_rate=0.5, ramp_epochs=4)(batch, replace(step, epoch=epoch))
        losses = []
        for each in (network, peer):
            logits = each(batch["image"])["logits"].detach()
            losses.append(
                [float(F.cross_entropy(z[None], y[None])) for z, y in zip(logits, batch["label"], strict=True)]
            )
        easy = [sorted(range(6), key=lambda i, own=own: own[i])[:remembered] for own in losses]
        expected = [sum(losses[own][i] for i in easy[1 - own]) / remembered for own in (0, 1)]
        if epoch:
            assert set(easy[0]) != set(easy[1]), "the test needs networks that find different faces easy"
        assert float(terms["classification"].detach()) == pytest.approx(expected[0], rel=1e-9)
        assert float(terms["peer"]) == pytest.approx(expected[1], rel=1e-9)
        assert float(terms["total"].detach()) == pytest.approx(sum(expected), rel=1e-9)
        assert float(terms["agreed"]) == pytest.approx(len(set(easy[0]) & set(easy[1])) / remembered)

    def test_remember_rate_falls_linearly_then_stays_constant(self) -> None:
        assert [remember_rate(epoch, 0.2, 10) for epoch in (0, 5, 10, 99)] == pytest.approx([1.0, 0.9, 0.8, 0.8])

    @pytest.mark.parametrize(("share", "count"), [(1.0, 10), (0.7, 7), (0.29, 2), (0.01, 1)])
    def test_number_of_faces_is_rounded_down_but_at_least_one(self, share: float, count: int) -> None:
        assert int(smallest(torch.rand(10), share).sum()) == count

    def test_second_sam_pass_keeps_the_selection_of_the_first(
        self, network: MFER, peer: MFER, step: Step, batch: dict[str, Tensor]
    ) -> None:
        method = CoTeaching(peer, forget_rate=0.5, ramp_epochs=1)
        method(batch, step)
        network.head.fc.weight.data *= -1
        repeated = float(method(batch, replace(step, repeated=True))["total"].detach())
        assert repeated != float(method(batch, step)["total"].detach())


def test_rank_without_selected_faces_adds_zero_gradient(network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
    chosen = torch.arange(12) >= 6  # all selected faces are on another rank
    terms = CoTeaching._objective(step, network(batch["image"]), batch["target"], chosen, slice(0, 6))
    terms["total"].backward()
    assert float(terms["total"].detach()) == 0
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())


def test_faces_with_wrong_labels_are_dropped(step: Step) -> None:
    """Two networks trained from scratch drop most faces with a wrong label, and learn the others."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(3)
    true = torch.arange(60) % 3
    image = torch.eye(3)[true] * 2 + 0.5 * torch.randn(60, 3, generator=generator)
    label = torch.where(torch.arange(60) < 18, (true + 1) % 3, true)  # 30 % wrong

    class Line(nn.Linear):
        def forward(self, x: Tensor) -> dict[str, object]:
            logits = super().forward(x)
            return {"feature": x, "logits": logits, "head_logits": (logits,)}

    first, second = Line(3, 3), Line(3, 3)
    method = CoTeaching(second, forget_rate=0.3, ramp_epochs=5)
    optimizer = torch.optim.Adam([*first.parameters(), *method.parameters()], lr=0.05)
    batch = {"image": image, "target": F.one_hot(label, 3).float(), "index": torch.arange(60)}
    for epoch in range(40):
        total = method(batch, replace(step, network=first, epoch=epoch))["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert method._chosen is not None
    for chosen in method._chosen:
        assert int(chosen[:18].sum()) <= 2
    for each in (first, second):
        assert float((each(image)["logits"].argmax(1) == true).float().mean()) > 0.9  # type: ignore[attr-defined]


class TestKeptNetwork:
    @pytest.mark.parametrize(("second", "better", "kept"), [(0.6, "max", 1), (0.5, "max", 0), (0.4, "min", 1)])
    def test_better_network_is_kept_and_the_first_wins_ties(self, second: float, better: str, kept: int) -> None:
        method = CoTeaching(nn.Linear(2, 2))
        assert choose(method, torch.tensor(0.5), torch.tensor(second), better) == kept
        assert int(method.kept) == kept

    def test_checkpoint_stores_the_kept_network_and_restores_both(self) -> None:
        before = {"network.w": torch.ones(1), "method.peer.w": torch.zeros(1), "objective.c": torch.ones(1)}
        state = {**before, "method.kept": torch.tensor(1)}
        exchange(state)
        assert (float(state["network.w"]), float(state["method.peer.w"])) == (0.0, 1.0)
        exchange(state)
        assert all(torch.equal(state[name], before[name]) for name in before)
        state = {**before, "method.kept": torch.tensor(0)}
        exchange(state)
        assert float(state["network.w"]) == 1.0


class TestErrors:
    @pytest.mark.parametrize(("option", "value"), [("forget_rate", 1.0), ("forget_rate", -0.1), ("ramp_epochs", 0)])
    def test_out_of_range_argument(self, option: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"`{option}`"):
            CoTeaching(**{option: value})  # type: ignore[arg-type]

    def test_losses_with_centres_or_class_sets_are_rejected(self, network: MFER) -> None:
        with pytest.raises(UserError, match="Use loss=ce"):
            CoTeaching(network).check(network, Objective(CrossEntropy(), CenterLoss(3, 8)))
        with pytest.raises(UserError, match="sets of classes"):
            CoTeaching(network).check(network, Objective(MultiTargetLoss()))
        CoTeaching(network).check(network, Objective(CrossEntropy()))

    def test_training_requires_a_second_network(self, step: Step, batch: dict[str, Tensor]) -> None:
        with pytest.raises(UserError, match=r"CoTeaching\(peer=...\)"):
            CoTeaching()(batch, step)

    def test_description_excludes_the_second_network(self, network: MFER) -> None:
        described = describe_method(CoTeaching(network, forget_rate=0.3))
        assert described == {
            "_target_": "mfer_lightning.methods.CoTeaching",
            "forget_rate": 0.3,
            "ramp_epochs": 10,
        }
