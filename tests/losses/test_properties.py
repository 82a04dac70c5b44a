"""Requirements for every classification and feature loss.

Correct gradients, finite values, and independence of the batch order.
"""

from __future__ import annotations

import pytest
import torch

from mfer_lightning.losses import (
    BalancedSoftmax,
    CenterLoss,
    CrossEntropy,
    DSFLoss,
    FocalLoss,
    LGMLoss,
    MetricLearningLoss,
    MultiTargetLoss,
)

B, K, D = 6, 3, 8

ON_LOGITS = {
    "cross_entropy": lambda: CrossEntropy(0.1),
    "weighted_cross_entropy": lambda: CrossEntropy(0.1, [1.0, 2.0, 3.0]),
    "focal": lambda: FocalLoss(2.0),
    "focal_half": lambda: FocalLoss(0.5, label_smoothing=0.1),
    "balanced_softmax": lambda: BalancedSoftmax([90, 9, 1]),
    "multi_target": lambda: MultiTargetLoss(0.1),
}
ON_FEATURES = {
    "center": lambda: CenterLoss(K, D),
    "lgm": lambda: LGMLoss(K, D),
    "lgm_diagonal": lambda: LGMLoss(K, D, covariance="diagonal", margin=0.5),
    "dsf": lambda: DSFLoss(K, D),
    "dsf_margin": lambda: DSFLoss(K, D, margin=0.2, temperature=0.1),
    "dsf_unsmoothed": lambda: DSFLoss(K, D, label_smoothing=0.0),
}
METRIC = {
    "supcon": lambda: MetricLearningLoss(K, D, loss="supcon"),
    "arcface": lambda: MetricLearningLoss(K, D, loss="arcface"),
}
SOFT = {**ON_LOGITS, **ON_FEATURES}


def make(name):
    torch.manual_seed(0)
    if name in METRIC:
        pytest.importorskip("pytorch_metric_learning")
    loss = {**SOFT, **METRIC}[name]()
    width = K if name in ON_LOGITS else D
    x = torch.randn(B, width)
    hard = torch.eye(K)[[0, 1, 2, 0, 1, 2]]
    target = torch.rand(B, K).softmax(1) if name in SOFT and name != "multi_target" else hard
    return loss, x, target


def scalar(value):
    return value["total"] if isinstance(value, dict) else value


@pytest.mark.parametrize("name", [*SOFT, *METRIC])
def test_gradients_match_finite_differences(name):
    loss, x, target = make(name)
    loss = loss.double()
    x, target = x.double().requires_grad_(), target.double()
    parameters = list(loss.parameters())

    def value(x, *_):
        return scalar(loss(x, target))

    assert torch.autograd.gradcheck(value, (x, *parameters))


@pytest.mark.parametrize("name", [*ON_FEATURES, *ON_LOGITS])
def test_gradients_match_finite_differences_for_hard_targets(name):
    loss, x, _ = make(name)
    loss, x = loss.double(), x.double().requires_grad_()
    target = torch.eye(K, dtype=torch.float64)[[0, 1, 2, 0, 1, 2]]
    assert torch.autograd.gradcheck(lambda x: scalar(loss(x, target)), (x,))


@pytest.mark.parametrize("name", [*SOFT, *METRIC])
def test_loss_is_float32_under_autocast(name):
    """The loss of a bfloat16 input under autocast is that of the same numbers in float32, to the last digit."""
    loss, x, target = make(name)
    half = x.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = scalar(loss(half, target))
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(half.grad).all()
    assert half.grad.abs().sum() > 0
    torch.testing.assert_close(value, scalar(loss(x.bfloat16().float(), target)), rtol=0, atol=0)
    for parameter in loss.parameters():
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("name", [*SOFT, *METRIC])
def test_tiny_and_huge_inputs_stay_finite(name, scale):
    loss, x, target = make(name)
    x = (x * scale).requires_grad_()
    terms = loss(x, target)
    for value in terms.values() if isinstance(terms, dict) else [terms]:
        assert torch.isfinite(value)
    scalar(terms).backward()
    assert torch.isfinite(x.grad).all()
    for parameter in loss.parameters():
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", [*SOFT, *METRIC])
def test_batch_order_does_not_matter(name):
    loss, x, target = make(name)
    loss, x, target = loss.double(), x.double(), target.double()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(scalar(loss(x[order], target[order])), scalar(loss(x, target)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", [*SOFT])
def test_is_a_mean_over_samples(name):
    """So that gradients averaged over ranks with batches of equal size are those of the joined batch."""
    loss, x, target = make(name)
    loss, x, target = loss.double(), x.double(), target.double()
    single = torch.stack([scalar(loss(x[i : i + 1], target[i : i + 1])) for i in range(B)])
    torch.testing.assert_close(scalar(loss(x, target)), single.mean())


@pytest.mark.parametrize("name", [n for n in SOFT if n not in ("multi_target", "dsf_margin", "lgm_diagonal", "lgm")])
def test_soft_target_gradient_is_the_weighted_mean_of_hard_labels(name):
    """Without a margin, a soft target's gradient is the mean of the hard labels' gradients, weighted by the target."""
    loss, x, _ = make(name)
    loss, x = loss.double(), x.double().requires_grad_()
    eye = torch.eye(K, dtype=torch.float64)

    def gradient(row):
        return torch.autograd.grad(scalar(loss(x, row.expand(B, K))), x)[0]

    soft = gradient(0.5 * eye[0] + 0.3 * eye[1] + 0.2 * eye[2])
    torch.testing.assert_close(soft, 0.5 * gradient(eye[0]) + 0.3 * gradient(eye[1]) + 0.2 * gradient(eye[2]))


@pytest.mark.parametrize("name", [*SOFT])
def test_state_dict_round_trip(name):
    loss, x, target = make(name)
    other, _, _ = make(name)
    for parameter in other.parameters():
        parameter.data.add_(1.0)
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(scalar(other(x, target)), scalar(loss(x, target)), rtol=0, atol=0)
