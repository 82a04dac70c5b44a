"""Losses on logits, each against a loop written from its formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mfer_lightning.losses import (
    BalancedSoftmax,
    CrossEntropy,
    FocalLoss,
    MultiTargetLoss,
    class_weights_from_counts,
)

B, K = 6, 5


@pytest.fixture
def logits():
    return 2 * torch.randn(B, K, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def soft():
    return torch.rand(B, K, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).softmax(1)


@pytest.fixture
def hard():
    return torch.eye(K, dtype=torch.float64)[[0, 3, 3, 1, 4, 2]]


def softmax(row):
    top = max(row)
    exps = [math.exp(v - top) for v in row]
    return [e / sum(exps) for e in exps]


def naive_mean(logits, target, term):
    """Mean over samples of sum over classes of term(target entry, probability, class)."""
    total = 0.0
    for row, t in zip(logits.tolist(), target.tolist(), strict=True):
        total += sum(term(q, p, k) for k, (q, p) in enumerate(zip(t, softmax(row), strict=True)))
    return total / len(target)


def smoothed(target, eps):
    return target * (1 - eps) + eps / target.shape[1]


@pytest.mark.parametrize("eps", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 0.0, 3.0]])
def test_cross_entropy_matches_its_formula(logits, soft, eps, weights):
    expected = naive_mean(logits, smoothed(soft, eps), lambda q, p, k: -(weights or [1] * K)[k] * q * math.log(p))
    assert CrossEntropy(eps, weights)(logits, soft).item() == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_of_hard_targets_matches_torch(logits, hard):
    expected = F.cross_entropy(logits, hard.argmax(1), label_smoothing=0.1)
    torch.testing.assert_close(CrossEntropy(0.1)(logits, hard), expected)


def test_smoothed_cross_entropy_is_stationary_at_the_smoothed_target(soft):
    q = smoothed(soft, 0.1)
    logits = (q.log() + 3.0).requires_grad_()  # a shift of all logits changes nothing
    loss = CrossEntropy(0.1)(logits, soft)
    loss.backward()
    assert logits.grad.abs().max() < 1e-15
    assert loss.item() == pytest.approx(-(q * q.log()).sum(1).mean().item())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_focal_loss_matches_its_formula(logits, soft, gamma, eps):
    weights = [1.0, 2.0, 0.5, 1.0, 3.0]
    expected = naive_mean(logits, smoothed(soft, eps), lambda q, p, k: -weights[k] * q * (1 - p) ** gamma * math.log(p))
    assert FocalLoss(gamma, eps, weights)(logits, soft).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_of_a_certain_prediction_has_a_finite_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss = FocalLoss(gamma)(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5])
def test_balanced_softmax_matches_its_formula(logits, soft, tau):
    counts = [100, 50, 10, 5, 1]
    adjusted = logits + torch.tensor([tau * math.log(n / sum(counts)) for n in counts], dtype=torch.float64)
    expected = naive_mean(adjusted, smoothed(soft, 0.1), lambda q, p, k: -q * math.log(p))
    # the prior is kept in float32
    assert BalancedSoftmax(counts, tau, 0.1)(logits, soft).item() == pytest.approx(expected, rel=1e-6)


def test_balanced_softmax_with_balanced_counts_equals_cross_entropy(logits, hard):
    torch.testing.assert_close(BalancedSoftmax([7] * K)(logits, hard), CrossEntropy(0.0)(logits, hard))


def test_balanced_softmax_learns_the_balanced_posterior():
    """For a feature equally likely in both classes of a 9:1 set, cross-entropy predicts 0.9, balanced softmax 0.5."""
    target = torch.eye(2)[[0] * 90 + [1] * 10]
    # p(x | class) equal for both classes, so the balanced posterior is even.
    found = {}
    for name, loss in (("ce", CrossEntropy(0.0)), ("balanced", BalancedSoftmax([90, 10]))):
        logits = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=50)

        def closure(loss=loss, logits=logits, optimizer=optimizer):
            optimizer.zero_grad()
            value = loss(logits.expand(100, 2), target)
            value.backward()
            return value

        optimizer.step(closure)
        found[name] = logits.softmax(0)[0].item()
    assert found["ce"] == pytest.approx(0.9, abs=1e-3)
    assert found["balanced"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_multi_target_loss_matches_its_formula(logits, eps):
    target = torch.tensor([[1, 1, 0, 0, 0]] * 3 + [[0, 0, 1, 0, 0]] * 2 + [[1, 1, 1, 1, 1]], dtype=torch.float64)
    expected = 0.0
    for row, members in zip(logits.tolist(), target.tolist(), strict=True):
        p = softmax(row)
        best = max(value for value, member in zip(p, members, strict=True) if member)
        expected += -(1 - eps) * math.log(best) - eps * sum(math.log(v) for v in p) / K
    assert MultiTargetLoss(eps)(logits, target).item() == pytest.approx(expected / B, rel=1e-12)


def test_multi_target_loss_depends_on_sets_not_values(logits, hard):
    loss = MultiTargetLoss()
    both = hard + hard.roll(1, 1)
    torch.testing.assert_close(loss(logits, both), loss(logits, both / 2))
    torch.testing.assert_close(loss(logits, hard), CrossEntropy(0.0)(logits, hard))
    assert loss(logits, both) <= loss(logits, hard)


@pytest.mark.parametrize("scheme", ["inverse", "sqrt", "effective"])
def test_class_weights_average_one_and_favour_rare_classes(scheme):
    counts = [1290, 281, 717, 4772]
    weights = class_weights_from_counts(counts, scheme)
    assert sum(n * w for n, w in zip(counts, weights, strict=True)) / sum(counts) == pytest.approx(1)
    assert [w for _, w in sorted(zip(counts, weights, strict=True))] == sorted(weights, reverse=True)


def test_inverse_class_weights_give_classes_equal_weight():
    counts = [10, 40, 50]
    products = [n * w for n, w in zip(counts, class_weights_from_counts(counts), strict=True)]
    assert products == pytest.approx([sum(counts) / 3] * 3)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: CrossEntropy(label_smoothing=1.5), "label_smoothing"),
        (lambda: CrossEntropy(label_smoothing=float("nan")), "label_smoothing"),
        (lambda: CrossEntropy(class_weights=[1.0, -1.0]), "class_weights"),
        (lambda: CrossEntropy(class_weights=[0.0, 0.0]), "class_weights"),
        (lambda: FocalLoss(gamma=-1.0), "gamma"),
        (lambda: BalancedSoftmax([10, 0, 5]), "class_counts"),
        (lambda: BalancedSoftmax([10, 5], tau=-1.0), "tau"),
        (lambda: MultiTargetLoss(label_smoothing=-0.1), "label_smoothing"),
        (lambda: class_weights_from_counts([1, 2], "linear"), "scheme"),
        (lambda: class_weights_from_counts([1, 2], "effective", beta=1.0), "beta"),
        (lambda: BalancedSoftmax([1, 2, 3])(torch.zeros(1, 2), torch.eye(2)[:1]), "logits"),
        (lambda: CrossEntropy()(torch.zeros(2, 3), torch.tensor([0, 1])), "target"),
        (lambda: CrossEntropy()(torch.zeros(2, 3), torch.zeros(2, 4)), "target"),
        (lambda: CrossEntropy()(torch.zeros(0, 3), torch.zeros(0, 3)), "logits"),
        (lambda: FocalLoss()(torch.zeros(3), torch.zeros(3)), "logits"),
    ],
)
def test_invalid_arguments_raise_value_error(make, argument):
    with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
        make()


def test_hard_labels_error_suggests_one_hot():
    with pytest.raises(ValueError, match="one_hot"):
        MultiTargetLoss()(torch.zeros(2, 3), torch.tensor([0, 1]))
