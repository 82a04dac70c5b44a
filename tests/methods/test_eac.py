"""EAC against a naive reference in float64, and the effect of its consistency loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.methods import EAC, Step
from mfer_lightning.methods.eac import consistency
from mfer_lightning.methods.erasing import DRAWS, erase
from mfer_lightning.methods.random_by_face import uniforms
from mfer_lightning.nn import MFER


def naive_class_map(network: MFER, feature_map: Tensor) -> Tensor:
    """The classifier at each position, one by one."""
    batch, _, height, width = feature_map.shape
    maps = torch.zeros(batch, network.num_classes, height, width, dtype=feature_map.dtype)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                heads = network.head(network.backbone.norm(feature_map[b, :, y, x][None]))
                maps[b, :, y, x] = sum(logits[0] for logits in heads)
    return maps


class TestFormula:
    def test_matches_the_formula(self, network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
        terms = EAC(weight=2.0, erase_prob=0.0)(batch, step)
        with torch.no_grad():
            output, mirrored = network(batch["image"]), network(batch["image"].flip(3))
            maps, others = naive_class_map(network, output["map"]), naive_class_map(network, mirrored["map"])
        squares = [
            float((maps[b, k, y, x] - others[b, k, y, maps.shape[3] - 1 - x]) ** 2)
            for b in range(maps.shape[0])
            for k in range(maps.shape[1])
            for y in range(maps.shape[2])
            for x in range(maps.shape[3])
        ]
        expected = sum(squares) / len(squares)
        loss = step.objective(output, batch["target"])["total"]
        assert expected > 0
        assert float(terms["consistency"]) == pytest.approx(expected, rel=1e-5)
        assert float(terms["total"]) == pytest.approx(float(loss) + 2.0 * expected, rel=1e-5)

    @pytest.mark.parametrize("head", ["linear", "multiscale"])
    def test_class_maps_give_no_gradient_to_the_classifier(self, head: str) -> None:
        backbone = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [4, 8, 12, 16]}}
        network = MFER(backbone, 3, attention="none", head=head)
        output = network(torch.randn(2, 3, 64, 64))
        network.class_maps(output["map"]).square().sum().backward()
        assert all(p.grad is None for part in (network.head, network.backbone.norm) for p in part.parameters())
        assert any(p.grad is not None and p.grad.any() for p in network.backbone.model.parameters())

    def test_mean_of_class_maps_equals_a_linear_head_without_norm(self) -> None:
        backbone = {"name": "resnet18", "norm": "none", "options": {"channels": [8, 8, 8, 8]}}
        network = MFER(backbone, 3, attention="none", head="linear").double().eval()
        output = network(torch.randn(2, 3, 64, 64, dtype=torch.float64))
        torch.testing.assert_close(network.class_maps(output["map"]).mean((2, 3)), output["logits"])

    def test_consistent_mirror_image_has_zero_loss(self) -> None:
        maps = torch.randn(2, 3, 4, 4)
        assert float(consistency(maps, maps.flip(3))) == 0


def test_training_makes_the_maps_agree(network: MFER, step: Step, batch: dict[str, Tensor]) -> None:
    method = EAC(weight=20.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    seen = []
    for _ in range(15):
        terms = method(batch, step)
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        seen.append(float(terms["consistency"]))
    assert seen[-1] < 0.5 * seen[0]


class TestErasing:
    def test_rectangles_have_the_requested_areas(self) -> None:
        images = torch.ones(400, 3, 40, 40)
        erased = erase(images, 1.0, (0.1, 0.2), uniforms(0, 0, torch.arange(400), DRAWS))[:, 0] == 0
        share = erased.float().mean((1, 2))
        assert 0.08 < float(share.min()) < 0.12
        assert 0.17 < float(share.max()) < 0.22
        for one in erased[:50]:
            rows, columns = one.any(1).nonzero(), one.any(0).nonzero()
            assert one.sum() == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)

    def test_erasing_has_the_requested_probability_and_covers_every_position(self) -> None:
        erased = erase(torch.ones(2000, 1, 16, 16), 0.5, (0.02, 0.25), uniforms(0, 0, torch.arange(2000), DRAWS)) == 0
        assert float(erased.flatten(1).any(1).float().mean()) == pytest.approx(0.5, abs=0.05)
        assert bool(erased.any(0).all())

    def test_erasing_is_fixed_within_an_epoch_and_changes_between_epochs(self) -> None:
        draw = uniforms(0, 3, torch.tensor([4, 9, 2]), DRAWS)
        assert torch.equal(draw[1:], uniforms(0, 3, torch.tensor([9, 2]), DRAWS))
        for other in (uniforms(1, 3, torch.tensor([4]), DRAWS), uniforms(0, 4, torch.tensor([4]), DRAWS)):
            assert not torch.equal(draw[:1], other)

    def test_erasing_depends_on_seed_epoch_and_face(self, step: Step, batch: dict[str, Tensor]) -> None:
        total = float(EAC()(batch, step)["total"])
        assert float(EAC()(batch, step)["total"]) == total
        assert float(EAC(seed=1)(batch, step)["total"]) != total
        assert float(EAC()(batch, replace(step, epoch=3))["total"]) != total


class TestErrors:
    def test_network_without_a_map_is_rejected(self) -> None:
        tokens = {
            "name": "vit_tiny_patch16_224",
            "pool": "token",
            "options": {"depth": 2, "embed_dim": 12, "num_heads": 2},
        }
        network = MFER(tokens, 3, attention="none", image_size=32)
        assert "map" not in network.outputs
        with pytest.raises(UserError, match="Method EAC needs the network output 'map', but 'vit_tiny_patch16_224'"):
            EAC().check(network, Objective(CrossEntropy()))

    @pytest.mark.parametrize(("option", "value"), [("weight", -1.0), ("erase_prob", 2.0), ("smallest", 0.0)])
    def test_out_of_range_argument(self, option: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"`{option}`"):
            EAC(**{option: value})


def test_transformer_map_excludes_the_class_token() -> None:
    tokens = {"name": "vit_tiny_patch16_224", "options": {"depth": 2, "embed_dim": 12, "num_heads": 2}}
    network = MFER(tokens, 3, attention="none", image_size=48).eval()
    output = network(torch.randn(2, 3, 48, 48))
    assert output["map"].shape == (2, 12, 3, 3)
    torch.testing.assert_close(network.backbone.norm(output["map"].mean((2, 3))), output["feature"])
