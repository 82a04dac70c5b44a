"""Valence and arousal losses against their formulas, with missing values, and combined with a classification loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mfer_lightning.losses import ConcordanceLoss, CrossEntropy, Objective, ValenceArousalMSE, describe_objective
from mfer_lightning.losses.concordance import concordance

NAN = float("nan")


def batch(rows=12, gaps=((0, 0), (0, 1), (5, 0), (7, 1))):
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(rows, 2, generator=generator, dtype=torch.float64) * 2 - 1
    target = torch.rand(rows, 2, generator=generator, dtype=torch.float64) * 2 - 1
    for row, column in gaps:
        target[row, column] = NAN
    return prediction, target


def ccc(x, y):
    """Lin's coefficient with the divisor n, from Pearson's correlation and the standard deviations."""
    rho = np.corrcoef(x, y)[0, 1]
    return 2 * rho * x.std() * y.std() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def by_hand(prediction, target, measure):
    found = []
    for x, y in zip(prediction.numpy().T, target.numpy().T, strict=True):
        known = [i for i, value in enumerate(y) if not math.isnan(value)]
        found.append(measure(x[known], y[known]))
    return sum(found) / 2


def test_concordance_loss_matches_its_formula_over_known_values():
    prediction, target = batch()
    expected = by_hand(prediction, target, lambda x, y: 1 - ccc(x, y))
    assert ConcordanceLoss()(prediction, target).item() == pytest.approx(expected, abs=1e-6)


def test_mean_squared_error_matches_its_formula_over_known_values():
    prediction, target = batch()
    expected = by_hand(prediction, target, lambda x, y: sum((x - y) ** 2) / len(x))
    assert ValenceArousalMSE()(prediction, target).item() == pytest.approx(expected, rel=1e-12)


LOSSES = pytest.mark.parametrize("loss", [ConcordanceLoss(), ValenceArousalMSE()], ids=lambda loss: type(loss).__name__)


@LOSSES
def test_gradients_match_finite_differences(loss):
    prediction, target = batch()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), prediction.requires_grad_())


@LOSSES
def test_faces_without_values_have_no_effect_and_no_gradient(loss):
    prediction, target = batch()
    known = ~target.isnan().all(1)
    prediction.requires_grad_()
    loss(prediction, target).backward()
    assert prediction.grad is not None
    assert (prediction.grad[target.isnan()] == 0).all()
    assert (prediction.grad[~target.isnan()] != 0).all()
    torch.testing.assert_close(loss(prediction, target), loss(prediction[known], target[known]))


@LOSSES
@pytest.mark.parametrize("rows", [1, 4])
def test_batch_without_values_has_zero_loss_and_gradients(loss, rows):
    prediction = torch.rand(rows, 2, requires_grad=True)
    value = loss(prediction, torch.full((rows, 2), NAN))
    value.backward()
    assert value == 0
    assert torch.equal(prediction.grad, torch.zeros(rows, 2))


@LOSSES
def test_missing_dimension_does_not_affect_the_other(loss):
    prediction, target = batch(gaps=())
    alone = loss(prediction[:, [0, 0]], target[:, [0, 0]])
    target[:, 1] = NAN
    torch.testing.assert_close(loss(prediction, target), alone)


def test_concordance_of_equal_opposite_and_constant_values():
    x = torch.tensor([[0.5], [-0.5], [0.1]], dtype=torch.float64)
    assert concordance(x, x).item() == pytest.approx(1, abs=1e-6)
    assert concordance(x, -x).item() < -0.9
    assert concordance(torch.zeros(3, 1), torch.zeros(3, 1)).item() == 0  # undefined; no gradient explodes
    assert concordance(x + 1, x).item() < 0.5  # unlike a correlation


@LOSSES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_inputs_are_computed_in_float32(loss, dtype):
    prediction, target = (values.float() for values in batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(prediction.to(dtype), target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(prediction.to(dtype).float(), target))


@LOSSES
def test_invalid_shapes_raise_value_error(loss):
    with pytest.raises(ValueError, match=r"`target`.*\(B, 2\)"):
        loss(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="3 rows, one per prediction, but got 4"):
        loss(torch.zeros(3, 2), torch.zeros(4, 2))


def outputs(rows=6):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, 3, generator=generator)
    return {"head_logits": (logits,), "logits": logits, "valence_arousal": torch.zeros(rows, 2, requires_grad=True)}


def test_objective_adds_and_names_the_weighted_loss():
    output, target = outputs(), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    values = torch.linspace(-1, 1, 12).reshape(6, 2)
    objective = Objective(CrossEntropy(0.1), valence_arousal=ValenceArousalMSE(), valence_arousal_weight=0.5)
    terms = objective(output, target, values)
    assert set(terms) == {"total", "classification", "valence_arousal"}
    torch.testing.assert_close(terms["valence_arousal"], ValenceArousalMSE()(output["valence_arousal"], values))
    torch.testing.assert_close(terms["total"], terms["classification"] + 0.5 * terms["valence_arousal"])
    # depends on the composition of a batch, so it is not a validation metric
    torch.testing.assert_close(objective.evaluate(output, target), terms["classification"])


def test_objective_names_the_missing_part():
    objective = Objective(CrossEntropy(), valence_arousal=ConcordanceLoss())
    output, target = outputs(), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    with pytest.raises(ValueError, match=r"`valence_arousal`, a tensor .* NoneType"):
        objective(output, target)
    del output["valence_arousal"]
    with pytest.raises(ValueError, match="Build the network with valence_arousal=True"):
        objective(output, target, torch.zeros(6, 2))


def test_checkpoint_records_the_loss():
    described = describe_objective(Objective(CrossEntropy(), valence_arousal=ConcordanceLoss()))
    assert described is not None
    assert described["valence_arousal"] == {"_target_": "mfer_lightning.losses.ConcordanceLoss"}
    assert described["valence_arousal_weight"] == 1.0
    assert "valence_arousal" not in describe_objective(Objective(CrossEntropy()))
