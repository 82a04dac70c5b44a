"""Losses on additional outputs of a network: their formulas, and how an objective adds them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.losses import AffinityLoss, CrossEntropy, Objective, PartitionLoss, describe_objective
from mfer_lightning.losses.affinity import affinity_loss
from mfer_lightning.losses.attention_diversity import attention_loss
from mfer_lightning.losses.partition import partition_loss
from mfer_lightning.nn import DAN, MFER

B, H, K, D = 5, 3, 4, 6


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    pooled, attended, centers = torch.randn(B, D, **draw), torch.randn(B, H, D, **draw), torch.randn(K, D, **draw)
    return pooled, attended, centers, torch.rand(B, K, **draw).softmax(1)


def test_affinity_matches_its_formula(data):
    pooled, _, centers, target = (tensor.numpy() for tensor in data)
    spread = sum(np.var(centers[:, d], ddof=1) for d in range(D))
    expected = 0.0
    for b in range(B):
        for k in range(K):
            expected += target[b, k] * sum((pooled[b, d] - centers[k, d]) ** 2 for d in range(D)) / spread / B
    assert affinity_loss(*(torch.from_numpy(t) for t in (pooled, target, centers))).item() == pytest.approx(expected)


def test_affinity_does_not_depend_on_the_scale(data):
    pooled, _, centers, target = data
    torch.testing.assert_close(affinity_loss(7 * pooled, target, 7 * centers), affinity_loss(pooled, target, centers))


def test_partition_matches_its_formula(data):
    attended = data[1].numpy()
    variances = [np.var(attended[b, :, d], ddof=1) for b in range(B) for d in range(D)]
    expected = math.log(1 + H / (sum(variances) / len(variances)))
    assert partition_loss(data[1]).item() == pytest.approx(expected, rel=1e-12)


def test_partition_of_one_head_is_zero_and_of_equal_heads_finite(data):
    assert partition_loss(data[1][:, :1]) == 0
    equal = data[1][:, :1].expand(-1, H, -1).clone().requires_grad_()
    loss = partition_loss(equal)
    loss.backward()
    assert loss.isfinite()
    assert equal.grad.isfinite().all()


def test_attention_matches_its_formula(data):
    maps = torch.rand(B, H, D, 2, 2, dtype=torch.float64)
    m = maps.numpy()
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = len(pairs) / sum(np.mean((m[:, i] - m[:, j]) ** 2) for i, j in pairs)
    assert attention_loss(maps).item() == pytest.approx(expected, rel=1e-12)
    assert attention_loss(maps[:, :1]) == 0
    assert attention_loss(maps[:, :1].expand(-1, H, -1, -1, -1)).isfinite()


@pytest.mark.parametrize("loss", ["affinity", "partition", "attention"])
def test_gradients_match_finite_differences(data, loss):
    pooled, attended, centers, target = data
    for tensor in (pooled, attended, centers):
        tensor.requires_grad_()
    if loss == "affinity":
        assert torch.autograd.gradcheck(lambda x, c: affinity_loss(x, target, c), (pooled, centers))
    elif loss == "partition":
        assert torch.autograd.gradcheck(partition_loss, (attended,))
    else:
        assert torch.autograd.gradcheck(lambda x: attention_loss(x.sigmoid()[..., None, None]), (attended,))


def test_objective_adds_weighted_terms_in_training_and_evaluation(data):
    pooled, attended, _, target = (tensor.float() for tensor in data)
    logits = torch.randn(B, K)
    output = {"head_logits": (logits,), "pooled": pooled, "attended": attended}
    terms = {"affinity": AffinityLoss(K, D, weight=0.5), "partition": PartitionLoss(weight=2.0)}
    objective = Objective(CrossEntropy(), terms=terms)
    found = objective(output, target)
    assert sorted(found) == ["affinity", "classification", "partition", "total"]
    expected = found["classification"] + 0.5 * found["affinity"] + 2 * found["partition"]
    torch.testing.assert_close(found["total"], expected)
    torch.testing.assert_close(objective.evaluate(output, target), expected)
    described = describe_objective(objective)
    assert described["terms"]["affinity"] == {
        "_target_": "mfer_lightning.losses.AffinityLoss",
        "num_classes": K,
        "feature_dim": D,
        "weight": 0.5,
    }
    assert "terms" not in describe_objective(Objective(CrossEntropy()))


def test_reserved_term_names_are_rejected():
    with pytest.raises(ValueError, match="names that are not in use, but got 'total'"):
        Objective(CrossEntropy(), terms={"total": PartitionLoss()})


def test_network_without_the_output_is_rejected():
    objective = Objective(CrossEntropy(), terms={"partition": PartitionLoss()})
    objective.check(DAN(backbone="resnet10t", heads=2))
    with pytest.raises(UserError, match=r"PartitionLoss\) needs the network output 'attended', but MFER returns only "):
        objective.check(MFER("resnet10t", attention="none"))
