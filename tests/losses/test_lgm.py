"""Large-margin Gaussian mixture loss against the formula of the paper, written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mfer_lightning.losses import LGMLoss
from mfer_lightning.losses.lgm import lgm_loss

B, K, D = 5, 3, 4


def naive(feature, label, centers, variance, alpha, weight):
    """Equations 5 to 11 of Wan et al. (2018) for hard labels, divided by D."""
    classification = likelihood = 0.0
    for f, y in zip(feature, label, strict=True):
        inverse = [np.linalg.inv(np.diag(variance[k])) for k in range(K)]
        distance = [0.5 * (f - centers[k]) @ inverse[k] @ (f - centers[k]) for k in range(K)]
        determinant = [np.linalg.det(np.diag(variance[k])) for k in range(K)]
        scores = [determinant[k] ** -0.5 * math.exp(-distance[k] * (1 + alpha if k == y else 1)) for k in range(K)]
        classification += -math.log(scores[y] / sum(scores))
        likelihood += distance[y] + 0.5 * math.log(determinant[y])
    scale = 1 / (len(label) * D)
    return (classification + weight * likelihood) * scale, classification * scale, likelihood * scale


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(B, D)), [0, 2, 2, 1, 0], rng.normal(size=(K, D)), rng.uniform(0.3, 2.0, size=(K, D))


@pytest.mark.parametrize(("alpha", "weight"), [(0.0, 0.0), (0.1, 0.1), (1.0, 0.5)])
@pytest.mark.parametrize("diagonal", [False, True])
def test_matches_the_paper_formula(data, alpha, weight, diagonal):
    feature, label, centers, variance = data
    expected = naive(feature, label, centers, variance if diagonal else np.ones((K, D)), alpha, weight)
    terms = lgm_loss(
        torch.from_numpy(feature),
        torch.eye(K, dtype=torch.float64)[label],
        torch.from_numpy(centers),
        torch.from_numpy(variance) if diagonal else None,
        margin=alpha,
        likelihood_weight=weight,
    )
    found = [terms[name].item() for name in ("total", "classification", "likelihood")]
    assert found == pytest.approx(expected, rel=1e-10)


def test_soft_target_without_margin_is_the_mean_of_hard_ones(data):
    feature, _, centers, variance = (torch.as_tensor(d) for d in data)
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    hard = [
        lgm_loss(feature, torch.eye(K, dtype=torch.float64)[[k] * B], centers, variance, margin=0.0)["total"]
        for k in range(K)
    ]
    soft = lgm_loss(feature, weights.expand(B, K), centers, variance, margin=0.0)["total"]
    torch.testing.assert_close(soft, (weights * torch.stack(hard)).sum())


def test_margin_raises_the_loss(data):
    feature, label, centers, _ = data
    losses = [
        lgm_loss(
            torch.from_numpy(feature), torch.eye(K, dtype=torch.float64)[label], torch.from_numpy(centers), margin=m
        )["classification"].item()
        for m in (0.0, 0.1, 1.0)
    ]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


def test_variances_start_at_one_so_diagonal_starts_as_identity(data):
    feature, label, _, _ = data
    arguments = (torch.from_numpy(feature).float(), torch.eye(K)[label])
    identity, diagonal = LGMLoss(K, D), LGMLoss(K, D, covariance="diagonal")
    diagonal.centers.data.copy_(identity.centers)
    torch.testing.assert_close(diagonal(*arguments), identity(*arguments), rtol=1e-5, atol=1e-6)


def test_variance_floor_bounds_a_collapsed_class():
    """With all features at their centre, the likelihood drives the variance to 0, where log|Lambda| is unbounded."""
    floor, weight = 0.01, 0.1
    loss = LGMLoss(2, D, covariance="diagonal", likelihood_weight=weight, variance_floor=floor)
    target = torch.eye(2).repeat(4, 1)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        value = loss(target @ loss.centers.detach(), target)["total"]
        value.backward()
        optimizer.step()
    bound = weight * 0.5 * math.log(floor)
    assert value.item() >= bound
    assert floor <= loss.variance.min().item() < 1.05 * floor  # it reached the floor
    # What happens without a floor: the same features, a smaller variance, and the bound is broken.
    free = lgm_loss(target @ loss.centers, target, loss.centers, torch.full((2, D), 1e-12), likelihood_weight=weight)
    assert free["total"].item() < 2 * bound


def test_huge_variance_stays_finite():
    loss = LGMLoss(2, D, covariance="diagonal")
    loss.log_variance.data.fill_(1e3)
    total = loss(torch.randn(3, D), torch.eye(2)[[0, 1, 1]])["total"]
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(loss.log_variance.grad).all()


def test_identity_has_only_centres_as_parameters():
    assert [name for name, _ in LGMLoss(K, D).named_parameters()] == ["centers"]
    assert LGMLoss(K, D).variance is None


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"covariance": "full"}, "covariance"),
        ({"margin": -0.1}, "margin"),
        ({"likelihood_weight": -1}, "likelihood_weight"),
        ({"variance_floor": 0.0}, "variance_floor"),
    ],
)
def test_invalid_arguments_raise_value_error(options, argument):
    with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
        LGMLoss(K, D, **options)
