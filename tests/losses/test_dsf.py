"""The reconstruction of the Deep Smooth Feature loss: formula, optimum, variants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mfer_lightning.losses import DSFLoss
from mfer_lightning.losses.dsf import dsf_loss, optimal_gap

B, K, D = 5, 3, 4


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(B, D)), rng.dirichlet(np.ones(K), size=B), rng.normal(size=(K, D))


def tensors(*arrays):
    return [torch.from_numpy(a) for a in arrays]


def naive(feature, target, centers, tau, eps, pull, margin):
    balance = distance = 0.0
    for f, t in zip(feature, target, strict=True):
        d = [sum((f - c) ** 2) / D for c in centers]
        q = [(1 - eps) * t[k] + eps / K for k in range(K)]
        scores = [math.exp(-(d[k] + margin * t[k]) / tau) for k in range(K)]
        p = [s / sum(scores) for s in scores]
        balance += sum(q[k] * math.log(q[k] / p[k]) for k in range(K) if q[k] > 0)
        distance += sum(t[k] * d[k] for k in range(K))
    return (balance + pull * distance) / B, balance / B, distance / B


@pytest.mark.parametrize("tau", [0.1, 0.5])
@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize(("pull", "margin"), [(0.0, 0.0), (0.2, 0.3)])
@pytest.mark.parametrize("hard", [False, True])
def test_matches_its_formula(data, tau, eps, pull, margin, hard):
    feature, target, centers = data
    if hard:
        target = np.eye(K)[target.argmax(1)]
    expected = naive(feature, target, centers, tau, eps, pull, margin)
    terms = dsf_loss(*tensors(feature, target, centers), temperature=tau, label_smoothing=eps, pull=pull, margin=margin)
    assert [terms[n].item() for n in ("total", "balance", "distance")] == pytest.approx(expected, rel=1e-10)


def simplex(num_classes, squared_distance):
    """Centres (K,K), pairwise ``||c_i - c_j||^2 / D`` equal to ``squared_distance`` with D = K."""
    return torch.eye(num_classes, dtype=torch.float64) * math.sqrt(squared_distance * num_classes / 2)


@pytest.mark.parametrize("classes", [2, 3, 8])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_equidistant_centres_at_the_gap_are_the_minimum(classes, margin):
    gap = optimal_gap(classes, 0.25, 0.1, margin)
    target = torch.eye(classes, dtype=torch.float64)
    centers = simplex(classes, gap).requires_grad_()
    feature = centers.detach().clone().requires_grad_()
    terms = dsf_loss(feature, target, centers, margin=margin)
    terms["total"].backward()
    assert terms["total"].item() == pytest.approx(0, abs=1e-14)
    assert max(feature.grad.abs().max(), centers.grad.abs().max()) < 1e-14
    # The optimal gap is finite: the loss increases if the centres move closer together or farther apart.
    for scale in (0.9, 1.1, 2.0):
        moved = simplex(classes, gap) * scale
        assert dsf_loss(moved, target, moved, margin=margin)["total"] > 1e-4


def test_balance_is_zero_wherever_the_gap_is_equal():
    """Off the centre too: moving a feature at right angles to all differences of centres changes no gap."""
    gap = optimal_gap(3, 0.25, 0.1)
    centers = torch.zeros(3, 4, dtype=torch.float64)
    centers[:, :3] = simplex(3, gap) * math.sqrt(4 / 3)  # D is 4 here
    feature = centers + torch.tensor([0.0, 0.0, 0.0, 5.0], dtype=torch.float64)
    terms = dsf_loss(feature, torch.eye(3, dtype=torch.float64), centers)
    assert terms["balance"].item() == pytest.approx(0, abs=1e-14)
    assert terms["distance"].item() == pytest.approx(25 / 4)


def test_free_features_and_centres_converge_to_the_gap():
    torch.manual_seed(0)
    loss = DSFLoss(3, 8)
    feature = torch.nn.Parameter(torch.randn(30, 8))
    target = torch.eye(3).repeat(10, 1)
    optimizer = torch.optim.Adam([feature, *loss.parameters()], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        loss(feature, target)["total"].backward()
        optimizer.step()
    squared = torch.pdist(loss.centers.detach()).square() / 8
    torch.testing.assert_close(squared, torch.full((3,), loss.gap), rtol=0.02, atol=0.0)
    assert (feature - target @ loss.centers).square().mean() < 1e-3 * loss.gap


def test_gradient_matches_the_documented_formula(data):
    """(2 / (B D)) [sum_k (p_k - q_k) c_k / tau + pull (f - c_y)] for a hard label, by hand."""
    feature, target, centers = data
    label = target.argmax(1)
    f, t, c = tensors(feature, np.eye(K)[label], centers)
    f.requires_grad_()
    dsf_loss(f, t, c, temperature=0.3, label_smoothing=0.1, pull=0.2)["total"].backward()
    for b in range(B):
        d = ((feature[b] - centers) ** 2).sum(1) / D
        p = np.exp(-d / 0.3) / np.exp(-d / 0.3).sum()
        q = 0.9 * np.eye(K)[label[b]] + 0.1 / K
        expected = 2 / (B * D) * (((p - q) / 0.3) @ centers + 0.2 * (feature[b] - centers[label[b]]))
        np.testing.assert_allclose(f.grad[b].numpy(), expected, rtol=1e-10)


def test_detached_variants_stop_one_term_from_moving_the_centres(data):
    gradients = {}
    for detach in ("none", "balance", "pull"):
        feature, target, centers = tensors(*data)
        feature.requires_grad_()
        centers.requires_grad_()
        terms = dsf_loss(feature, target, centers, pull=0.2, detach=detach)
        parts = {
            name: torch.autograd.grad(terms[name], centers, retain_graph=True, allow_unused=True)[0]
            for name in ("balance", "distance")
        }
        terms["total"].backward()
        gradients[detach] = (parts, feature.grad, terms["total"].item())
    assert gradients["balance"][0]["balance"] is None
    assert gradients["pull"][0]["distance"] is None
    torch.testing.assert_close(gradients["balance"][0]["distance"], gradients["none"][0]["distance"])
    torch.testing.assert_close(gradients["pull"][0]["balance"], gradients["none"][0]["balance"])
    for detach in ("balance", "pull"):  # features and values are unaffected
        torch.testing.assert_close(gradients[detach][1], gradients["none"][1])
        assert gradients[detach][2] == pytest.approx(gradients["none"][2])


def test_centres_start_at_the_optimal_distance():
    torch.manual_seed(0)
    loss = DSFLoss(8, 4096)
    squared = torch.pdist(loss.centers.detach()).square() / 4096
    torch.testing.assert_close(squared, torch.full_like(squared, loss.gap), rtol=0.1, atol=0.0)
    assert DSFLoss(8, 4096, init_std=0.1).centers.std().item() == pytest.approx(0.1, rel=0.05)
    assert torch.isfinite(DSFLoss(8, 16, label_smoothing=0.0).centers).all()


def test_gap_is_infinite_without_smoothing():
    assert DSFLoss(3, D, label_smoothing=0.0).gap == math.inf
    # the minimum is only approached in the limit: the balance keeps decreasing
    target = torch.eye(3, dtype=torch.float64)
    values = [dsf_loss(simplex(3, g), target, simplex(3, g), label_smoothing=0.0)["balance"].item() for g in (1, 2, 4)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("width", [16, 64, 1024])
def test_value_does_not_depend_on_the_width(width):
    """A feature repeated along its channels has the same loss, and sqrt(D) times the gradient norm is the same."""
    torch.manual_seed(0)
    small, centers = torch.randn(4, 16), torch.randn(3, 16)
    target = torch.eye(3)[[0, 1, 2, 0]]
    norms, values = [], []
    for repeat in (1, width // 16):
        feature = small.repeat(1, repeat).requires_grad_()
        total = dsf_loss(feature, target, centers.repeat(1, repeat))["total"]
        total.backward()
        values.append(total.item())
        norms.append(feature.grad.norm().item() * feature.shape[1] ** 0.5)
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"label_smoothing": 1.1}, "label_smoothing"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"pull": -0.1}, "pull"),
        ({"margin": -0.1}, "margin"),
        ({"detach": "push"}, "detach"),
        ({"init_std": -1.0}, "init_std"),
    ],
)
def test_invalid_arguments_raise_value_error(options, argument):
    with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
        DSFLoss(K, D, **options)
