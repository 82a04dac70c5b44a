"""Every optimizer of timm and torch trains a network with real parameter groups, or is rejected with a reason."""

from __future__ import annotations

import io
from functools import cache

import pytest
import torch
from timm.optim import list_optimizers
from torch import nn

from mfer_lightning.optim import build_optimizer, optimizer_for, parameter_groups, unused_options
from mfer_lightning.optim.optimizers import TORCH

#: Name -> text of the reason why it is not supported.
REFUSED = {
    "adahessian": "second derivatives",
    "LBFGS": "many times per step",
    "SparseAdam": "sparse gradients",
    "Muon": "Use muon",
    **{name: "CUDA required" for name in list_optimizers() if name.startswith(("bnb", "fused"))},
}

#: Optimizers in conf/optimizer, besides SAM.
NAMED = ("adamw", "sgd", "lion", "muon", "lamb", "adan", "nadamw")

ALL = [*list_optimizers(), *TORCH]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 16)
        )
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        feature = self.backbone(x)
        return feature, self.head(feature)


class Centers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(4, 16))

    def forward(self, network, faces):
        feature, logits = network(faces)
        label = torch.arange(len(faces)) % 4
        return nn.functional.cross_entropy(logits, label) + (feature - self.centers[label]).square().mean()


@cache
def faces() -> torch.Tensor:
    return torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def parts() -> tuple[Net, Centers]:
    torch.manual_seed(0)
    return Net(), Centers()


def train(network, objective, optimizer, steps):
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = objective(network, faces())
        loss.backward()
        return loss

    for _ in range(steps):
        losses.append(optimizer.step(closure).item())
    return losses


def weights(*modules) -> list[torch.Tensor]:
    return [p.detach().clone() for module in modules for p in module.parameters()]


def test_every_optimizer_of_the_libraries_is_covered():
    assert len(ALL) > 100
    assert set(REFUSED) - set(ALL) <= ({"Muon"} if not hasattr(torch.optim, "Muon") else set())  # older torch


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in ALL if n not in REFUSED])
def test_every_optimizer_trains(name):
    network, objective = parts()
    options = {"name": name, "lr": 1e-3, "weight_decay": 0.05, "head_lr_scale": 2.0, "center_lr_scale": 10.0}
    optimizer = optimizer_for(network, objective, options)
    before = weights(network, objective)
    losses = train(network, objective, optimizer, 4)
    assert losses[-1] < losses[0]
    assert not any(torch.equal(a, b) for a, b in zip(before, weights(network, objective), strict=True))
    rates = {g["name"]: g["lr"] for g in optimizer.param_groups}
    assert (rates["head"], rates["centers"]) == (2e-3, 1e-2)


@pytest.mark.parametrize("name", sorted(REFUSED))
@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA, APEX and bitsandbytes may be installed")
def test_unsupported_optimizer_is_rejected_with_a_reason(name):
    network, objective = parts()
    with pytest.raises(ValueError, match=rf"`name`.*{name}.*{REFUSED[name]}"):
        optimizer_for(network, objective, {"name": name, "lr": 1e-3})


#: Rprop has no decay. ASGD has an additional decay, ``lambd``, for every weight.
DECAYING = [n for n in ALL if n not in REFUSED and n not in ("ASGD", "Rprop")]


@pytest.mark.parametrize("name", DECAYING)
def test_vectors_and_centres_are_never_decayed(name):
    # With zero gradients, an optimizer changes only the parameters that it decays.
    network, objective = parts()
    optimizer = optimizer_for(network, objective, {"name": name, "lr": 1e-2, "weight_decay": 0.5})
    before = weights(network, objective)
    for _ in range(2):
        for parameter in (*network.parameters(), *objective.parameters()):
            parameter.grad = torch.zeros_like(parameter)
        # kron compiles itself, which takes 20 s; test_every_optimizer_trains covers the compiled version.
        with torch.compiler.set_stance("force_eager"):
            optimizer.step()
    for parameter, old in zip((*network.parameters(), *objective.parameters()), before, strict=True):
        if parameter.ndim == 1 or parameter is objective.centers:
            torch.testing.assert_close(parameter.detach(), old, rtol=1e-6, atol=1e-7)
    decayed = network.backbone[4].weight
    assert decayed.norm() <= before[3].norm()


@pytest.mark.parametrize("name", NAMED)
def test_weight_decay_shrinks_matrices(name):
    network, objective = parts()
    optimizer = optimizer_for(network, objective, {"name": name, "lr": 1e-2, "weight_decay": 0.5})
    before = network.backbone[4].weight.norm().item()
    for _ in range(2):
        for parameter in (*network.parameters(), *objective.parameters()):
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    assert network.backbone[4].weight.norm() < before


@pytest.mark.parametrize("sam_rho", [0.0, 0.05])
@pytest.mark.parametrize("name", NAMED)
def test_resumed_run_matches_an_uninterrupted_one(name, sam_rho):
    options = {"name": name, "lr": 1e-3, "weight_decay": 0.05, "center_lr_scale": 10.0, "sam_rho": sam_rho}
    network, objective = parts()
    optimizer = optimizer_for(network, objective, options)
    train(network, objective, optimizer, 3)
    file = io.BytesIO()
    torch.save([network.state_dict(), objective.state_dict(), optimizer.state_dict()], file)
    train(network, objective, optimizer, 3)

    file.seek(0)
    states = torch.load(file, weights_only=True)
    again, objective_again = parts()
    resumed = optimizer_for(again, objective_again, options)
    for part, state in zip((again, objective_again, resumed), states, strict=True):
        part.load_state_dict(state)
    train(again, objective_again, resumed, 3)
    assert all(map(torch.equal, weights(network, objective), weights(again, objective_again)))


@pytest.mark.parametrize("name", NAMED)
def test_bfloat16_autocast_trains(name):
    network, objective = parts()
    optimizer = optimizer_for(network, objective, {"name": name, "lr": 1e-3, "weight_decay": 0.05})
    with torch.autocast("cpu", torch.bfloat16):
        losses = train(network, objective, optimizer, 4)
    assert losses[-1] < losses[0]
    assert all(w.dtype is torch.float32 for w in weights(network, objective))


def test_muon_uses_adamw_for_heads_centres_and_vectors():
    network, objective = parts()
    optimizer = optimizer_for(network, objective, {"name": "muon", "lr": 1e-3, "weight_decay": 0.05})
    train(network, objective, optimizer, 1)
    by_muon = {id(p) for p, state in optimizer.state.items() if state["use_muon"]}
    assert by_muon == {id(network.backbone[0].weight), id(network.backbone[4].weight)}


def test_corrected_decay_is_relative_to_the_peak_rate_of_each_group():
    network, objective = parts()
    optimizer = optimizer_for(
        network, objective, {"name": "adamc", "lr": 1e-3, "weight_decay": 0.1, "head_lr_scale": 5.0}
    )
    before = network.head.weight.detach().clone()
    for parameter in (*network.parameters(), *objective.parameters()):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(network.head.weight.detach(), before * (1 - 5e-3 * 0.1))


def group():
    return [{"params": [nn.Parameter(torch.ones(4, 4))]}]


def test_optimizer_specific_arguments_are_accepted():
    optimizer = build_optimizer(group(), "adafactor", lr=1e-3, clip_threshold=0.9, scale_parameter=False)
    assert optimizer.defaults["clip_threshold"] == 0.9
    assert build_optimizer(group(), "adan", betas=[0.9, 0.8, 0.7]).defaults["betas"] == (0.9, 0.8, 0.7)


def test_options_of_another_optimizer_are_ignored_and_named():
    options = {
        "name": "lion",
        "eps": 1e-8,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.1,
        "betas": (0.9, 0.99),
    }
    assert "eps" not in build_optimizer(group(), **options).defaults
    assert unused_options(options) == ["eps", "momentum", "nesterov"]
    assert unused_options({"name": "Rprop", "weight_decay": 0.1}) == ["weight_decay"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "adafactor", "clip_treshold": 0.9}, "no option `clip_treshold`: did you mean 'clip_threshold'"),
        ({"name": "lion", "clip_threshold": 0.9}, "lion has no option `clip_threshold`: legal: lr, betas"),
        ({"name": "lion", "fused": True}, "lion has no option `fused`"),
        ({"name": "adafactor", "clip_threshold": "much"}, "`clip_threshold` to be a number"),
        ({"name": "lion", "caution": 1}, "`caution` to be true or false"),
        ({"name": "adan", "betas": [0.9, 0.99]}, "`betas` to be three numbers"),
        ({"name": "adam", "betas": 0.9}, "`betas` to be two numbers"),
        ({"name": "adamwx"}, "Did you mean 'adamw'"),
        ({"name": "lion", "lr": -1.0}, "learning rate"),
    ],
)
def test_invalid_options_raise_value_error(options, words):
    with pytest.raises(ValueError, match=f"(?i){words}"):
        build_optimizer(group(), **options)


def test_layer_decay_works_with_every_optimizer():
    import timm

    network = timm.create_model("resnet10t", num_classes=0)
    groups = parameter_groups(network, lr=0.1, weight_decay=0.05, layer_decay=0.5)
    for name in NAMED:
        rates = {g["name"]: g["lr"] for g in build_optimizer(groups, name, lr=0.1).param_groups}
        assert rates["backbone_layer00"] == pytest.approx(0.1 * 0.5**4)
