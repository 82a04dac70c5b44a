"""Center loss and common behaviour of all losses with centres."""

from __future__ import annotations

import pytest
import torch

from mfer_lightning.losses import CenterLoss, DSFLoss, LGMLoss
from mfer_lightning.losses.center import center_loss

B, K, D = 6, 3, 4


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(B, D, dtype=torch.float64, generator=generator)
    target = torch.rand(B, K, dtype=torch.float64, generator=generator).softmax(1)
    centers = torch.randn(K, D, dtype=torch.float64, generator=generator)
    return feature, target, centers


def test_matches_its_formula(data):
    feature, target, centers = (t.numpy() for t in data)
    expected = 0.0
    for b in range(B):
        for k in range(K):
            expected += target[b, k] * 0.5 * sum((feature[b, i] - centers[k, i]) ** 2 for i in range(D)) / D
    assert center_loss(*data).item() == pytest.approx(expected / B, rel=1e-12)


def test_hard_label_gives_half_the_squared_distance_to_its_centre(data):
    feature, _, centers = data
    label = torch.tensor([0, 1, 2, 2, 1, 1])
    expected = 0.5 * (feature - centers[label]).square().sum(1).mean() / D
    torch.testing.assert_close(center_loss(feature, torch.eye(K, dtype=torch.float64)[label], centers), expected)


def test_is_stationary_at_weighted_means(data):
    feature, target, _ = data
    centers = ((target.T @ feature) / target.sum(0)[:, None]).requires_grad_()
    center_loss(feature, target, centers).backward()
    assert centers.grad.abs().max() < 1e-15


@pytest.mark.parametrize("kind", [CenterLoss, LGMLoss, DSFLoss])
class TestCentres:
    def test_start_at_the_weighted_class_means(self, kind, data):
        feature, target, _ = data
        loss = kind(K, D)
        loss.init_centers(feature, target)
        for k in range(K):
            mean = sum(target[b, k] * feature[b] for b in range(B)) / sum(target[:, k])
            torch.testing.assert_close(loss.centers[k].double(), mean, rtol=1e-6, atol=1e-6)

    def test_of_absent_classes_do_not_move(self, kind, data):
        feature = data[0]
        loss = kind(K, D)
        before = loss.centers.detach().clone()
        loss.init_centers(feature, torch.eye(K, dtype=torch.float64)[[0, 0, 0, 2, 2, 2]])
        assert torch.equal(loss.centers[1], before[1])
        assert not torch.equal(loss.centers[0], before[0])

    def test_are_a_learnable_parameter(self, kind, data):
        loss = kind(K, D)
        assert dict(loss.named_parameters())["centers"].shape == (K, D)
        feature, target, _ = data
        loss(feature, target)["total"].backward()
        assert loss.centers.grad.abs().sum() > 0

    def test_reject_non_finite_features(self, kind, data):
        feature, target, _ = data
        feature[0, 0] = float("nan")
        with pytest.raises(ValueError, match="finite"):
            kind(K, D).init_centers(feature, target)

    @pytest.mark.parametrize(
        ("feature", "target", "argument"),
        [
            (torch.zeros(2, D + 1), torch.eye(K)[:2], "feature"),
            (torch.zeros(D), torch.eye(K)[0], "feature"),
            (torch.zeros(2, D), torch.eye(K), "target"),
            (torch.zeros(2, D), torch.tensor([0, 1]), "target"),
            (torch.zeros(2, D), torch.eye(K)[:2].long(), "target"),
        ],
    )
    def test_invalid_shapes_raise_value_error(self, kind, feature, target, argument):
        with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
            kind(K, D)(feature, target)

    @pytest.mark.parametrize(("arguments", "name"), [((1, D), "num_classes"), ((K, 0), "feature_dim")])
    def test_invalid_sizes_raise_value_error(self, kind, arguments, name):
        with pytest.raises(ValueError, match=rf"Expected argument `{name}`"):
            kind(*arguments)

    def test_all_terms_are_scalars_including_the_total(self, kind, data):
        terms = kind(K, D)(data[0].float(), data[1].float())
        assert "total" in terms
        assert all(value.shape == () for value in terms.values())
