"""The adapter over pytorch-metric-learning."""

from __future__ import annotations

import builtins
import math

import pytest
import torch
import torch.nn.functional as F

from mfer_lightning.errors import UserError
from mfer_lightning.losses import MetricLearningLoss
from mfer_lightning.losses.metric_learning import ALIASES

pytest.importorskip("pytorch_metric_learning")
B, K, D = 8, 3, 6
LABEL = [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.fixture
def data():
    return torch.randn(B, D, generator=torch.Generator().manual_seed(0)), torch.eye(K)[LABEL]


def test_supcon_matches_the_paper_formula(data):
    feature, target = data
    z = F.normalize(feature.double(), dim=1)
    tau, total = 0.1, 0.0
    for i in range(B):
        others = [a for a in range(B) if a != i]
        denominator = sum(math.exp(float(z[i] @ z[a]) / tau) for a in others)
        positives = [a for a in others if LABEL[a] == LABEL[i]]
        total -= sum(math.log(math.exp(float(z[i] @ z[p]) / tau) / denominator) for p in positives) / len(positives)
    found = MetricLearningLoss(K, D, loss="supcon", temperature=tau)(feature, target)["total"]
    assert found.item() == pytest.approx(total / B, rel=1e-5)


def test_arcface_matches_the_paper_formula(data):
    feature, target = data
    loss = MetricLearningLoss(K, D, loss="arcface", margin=28.6, scale=8)
    # Towards the proxies: for angles beyond pi - margin the library continues linearly.
    feature = feature + 3 * F.normalize(loss.loss.W.detach(), dim=0).T[LABEL]
    weight = F.normalize(loss.loss.W.detach().double(), dim=0)
    cosine = F.normalize(feature.double(), dim=1) @ weight
    logits = 8 * cosine
    for b, y in enumerate(LABEL):
        logits[b, y] = 8 * math.cos(math.acos(float(cosine[b, y])) + math.radians(28.6))
    expected = F.cross_entropy(logits, torch.tensor(LABEL))
    assert loss(feature, target)["total"].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_every_short_name_trains(name, data):
    feature, target = data
    loss = MetricLearningLoss(num_classes=K, feature_dim=D, loss=name)
    feature.requires_grad_()
    loss(feature, target)["total"].backward()
    assert torch.isfinite(feature.grad).all()
    assert feature.grad.abs().sum() > 0


def test_any_class_of_the_library_can_be_used(data):
    assert math.isfinite(MetricLearningLoss(K, D, loss="NTXentLoss")(*data)["total"])


def test_batch_without_pairs_still_has_a_gradient():
    feature = torch.randn(1, D, requires_grad=True)
    total = MetricLearningLoss(K, D, loss="supcon")(feature, torch.eye(K)[:1])["total"]
    total.backward()
    assert torch.isfinite(feature.grad).all()


def test_soft_targets_are_rejected(data):
    feature, target = data
    target[0] = torch.tensor([0.5, 0.5, 0.0])
    with pytest.raises(UserError, match=r"hard labels only.*majority"):
        MetricLearningLoss(K, D, loss="supcon")(feature, target)


def test_unknown_name_suggests_the_closest_match():
    with pytest.raises(UserError, match="did you mean 'supcon'"):
        MetricLearningLoss(K, D, loss="supcom")
    with pytest.raises(UserError, match="no loss"):
        MetricLearningLoss(K, D, loss="BaseReducer")


def test_unknown_option_lists_the_valid_ones():
    with pytest.raises(UserError, match="temperature"):
        MetricLearningLoss(K, D, loss="supcon", temprature=0.1)


def test_missing_package_error_names_the_extra(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("pytorch_metric_learning"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r"pip install mfer_lightning\[metric\]"):
        MetricLearningLoss(K, D, loss="supcon")
