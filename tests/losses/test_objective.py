"""The objective: summed terms and errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mfer_lightning.errors import UserError
from mfer_lightning.losses import CenterLoss, CrossEntropy, DSFLoss, MetricLearningLoss, MultiTargetLoss, Objective

B, K, D = 6, 3, 8


@pytest.fixture
def output():
    generator = torch.Generator().manual_seed(0)
    heads = tuple(torch.randn(B, K, generator=generator) for _ in range(3))
    return {"feature": torch.randn(B, D, generator=generator), "logits": sum(heads), "head_logits": heads}


@pytest.fixture
def hard():
    return torch.eye(K)[[0, 1, 2, 0, 1, 2]]


def test_sums_the_losses_of_the_heads(output, hard):
    terms = Objective(CrossEntropy(0.1))(output, hard)
    assert set(terms) == {"total", "classification"}
    expected = sum(CrossEntropy(0.1)(logits, hard) for logits in output["head_logits"])
    torch.testing.assert_close(terms["classification"], expected)
    torch.testing.assert_close(terms["total"], expected)


def test_adds_the_weighted_feature_loss_and_its_terms(output, hard):
    objective = Objective(CrossEntropy(0.1), DSFLoss(K, D), feature_weight=0.3)
    terms = objective(output, hard)
    assert set(terms) == {"total", "classification", "feature", "feature_balance", "feature_distance"}
    torch.testing.assert_close(terms["total"], terms["classification"] + 0.3 * terms["feature"])
    torch.testing.assert_close(terms["feature"], objective.feature(output["feature"], hard)["total"])


def test_accepts_a_feature_loss_that_returns_a_scalar(output, hard):
    class Size(nn.Module):
        def forward(self, feature, target):
            return feature.square().mean()

    terms = Objective(CrossEntropy(), Size(), 2.0)(output, hard)
    assert set(terms) == {"total", "classification", "feature"}
    torch.testing.assert_close(terms["total"], terms["classification"] + 2 * output["feature"].square().mean())


def test_zero_weight_gives_no_gradient(output, hard):
    objective = Objective(CrossEntropy(), CenterLoss(K, D), feature_weight=0.0)
    output["feature"].requires_grad_()
    objective(output, hard)["total"].backward()
    assert output["feature"].grad.abs().max() == 0
    assert objective.feature.centers.grad.abs().max() == 0  # the gradient exists, as distributed training requires


@pytest.mark.parametrize("heads", [(), [], None])
def test_output_without_heads_raises_value_error(output, hard, heads):
    with pytest.raises(ValueError, match="head_logits"):
        Objective(CrossEntropy())({**output, "head_logits": heads}, hard)


def test_feature_loss_requires_a_feature(output, hard):
    del output["feature"]
    Objective(CrossEntropy())(output, hard)
    with pytest.raises(ValueError, match="`feature`"):
        Objective(CrossEntropy(), CenterLoss(K, D))(output, hard)


def test_invalid_shapes_raise_value_error(output, hard):
    with pytest.raises(ValueError, match="Expected argument `target`"):
        Objective(CrossEntropy())(output, torch.eye(K + 1)[[0, 1, 2, 0, 1, 2]])
    with pytest.raises(ValueError, match="Expected argument `feature`"):
        Objective(CrossEntropy(), CenterLoss(K, D + 1))(output, hard)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_invalid_weight_raises_value_error(weight):
    with pytest.raises(ValueError, match="feature_weight"):
        Objective(CrossEntropy(), CenterLoss(K, D), weight)


@pytest.mark.parametrize("row", [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.5, -0.5, 0.0], [float("nan"), 0.5, 0.5]])
def test_targets_that_are_not_distributions_are_rejected(output, hard, row):
    hard[2] = torch.tensor(row)
    with pytest.raises(UserError, match="distributions"):
        Objective(CrossEntropy())(output, hard)


def test_class_sets_are_passed_to_losses_that_accept_them(output):
    sets = torch.tensor([[1.0, 1.0, 0.0]] * B)
    objective = Objective(MultiTargetLoss(), CenterLoss(K, D), 1.0)
    terms = objective(output, sets)
    torch.testing.assert_close(terms["feature"], objective.feature(output["feature"], sets / 2)["total"])
    with pytest.raises(UserError, match="at least one class"):
        Objective(MultiTargetLoss())(output, torch.zeros(B, K))


def test_hard_label_loss_rejects_soft_targets(output):
    pytest.importorskip("pytorch_metric_learning")
    objective = Objective(CrossEntropy(), MetricLearningLoss(K, D, loss="supcon"))
    with pytest.raises(UserError, match="hard labels only"):
        objective(output, torch.full((B, K), 1 / K))


def test_initialises_centres_if_the_loss_has_any(output, hard):
    objective = Objective(CrossEntropy(), CenterLoss(K, D))
    assert objective.init_centers(output["feature"], hard)
    expected = torch.stack([output["feature"][hard[:, k] == 1].mean(0) for k in range(K)])
    torch.testing.assert_close(objective.feature.centers.data, expected)
    assert not Objective(CrossEntropy()).init_centers(output["feature"], hard)


def test_non_finite_outputs_are_not_hidden(output, hard):
    output["head_logits"][0][0, 0] = float("nan")
    assert torch.isnan(Objective(CrossEntropy())(output, hard)["total"])
