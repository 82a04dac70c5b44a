"""Building optimizers, and SAM compared with its definition, computed by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from mfer_lightning.optim import SAM, build_optimizer, build_schedule


def groups():
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    return [
        {"name": "weights", "params": [network.weight], "lr": 0.1, "weight_decay": 0.05},
        {"name": "biases", "params": [network.bias], "lr": 0.2, "weight_decay": 0.0},
    ], network


def test_adamw_keeps_group_names_rates_and_decays():
    found, _ = groups()
    optimizer = build_optimizer(found, "adamw", lr=1.0, weight_decay=1.0, betas=[0.8, 0.9], eps=1e-6)
    assert type(optimizer) is AdamW
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [
        ("weights", 0.1, 0.05),
        ("biases", 0.2, 0.0),
    ]
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)
    assert optimizer.param_groups[0]["eps"] == 1e-6
    assert "initial_lr" not in found[0]  # the groups of the caller are not modified


def test_sgd_uses_nesterov_if_momentum_is_set():
    optimizer = build_optimizer(groups()[0], "sgd", lr=0.1, momentum=0.9)
    assert type(optimizer) is SGD
    assert optimizer.param_groups[0]["nesterov"]
    assert not build_optimizer(groups()[0], "sgd", lr=0.1, momentum=0.0).param_groups[0]["nesterov"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adamx"}, "`name` to be an optimizer of timm or torch"),
        ({"betas": (0.9,)}, "`betas`"),
        ({"sam_rho": -0.1}, "`rho`"),
    ],
)
def test_invalid_arguments_raise_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        build_optimizer(groups()[0], **options)


def quadratic(w, v):
    """A loss with the gradient (2 a w, 2 b v)."""
    return (torch.tensor([1.0, 3.0]) * w**2).sum() + 2 * v**2


@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_step_matches_the_paper(adaptive):
    w0, v0, rho, lr = [1.0, -2.0], 0.5, 0.3, 0.1
    w, v = nn.Parameter(torch.tensor(w0)), nn.Parameter(torch.tensor(v0))
    optimizer = SAM(SGD([{"params": [w]}, {"params": [v]}], lr=lr), rho=rho, adaptive=adaptive)
    seen = []

    def closure():
        seen.append((w.tolist(), optimizer.perturbed))
        optimizer.zero_grad()
        loss = quadratic(w, v)
        loss.backward()
        return loss

    loss = optimizer.step(closure)

    # By hand, over all parameters together: x = (w, v), loss = sum a x^2, gradient 2 a x.
    x, a = [*w0, v0], [1.0, 3.0, 2.0]
    g = [2 * ai * xi for ai, xi in zip(a, x, strict=True)]
    scaled = [abs(xi) * gi for xi, gi in zip(x, g, strict=True)] if adaptive else g
    norm = math.sqrt(sum(s * s for s in scaled))
    e = [rho * gi * (xi * xi if adaptive else 1) / norm for xi, gi in zip(x, g, strict=True)]
    expected = [xi - lr * 2 * ai * (xi + ei) for xi, ai, ei in zip(x, a, e, strict=True)]
    assert [*w.tolist(), v.item()] == pytest.approx(expected, rel=1e-5)
    assert loss.item() == pytest.approx(sum(ai * xi * xi for ai, xi in zip(a, x, strict=True)))
    assert [flag for _, flag in seen] == [False, True]
    assert seen[1][0] == pytest.approx([x[0] + e[0], x[1] + e[1]], rel=1e-5)


def test_sam_restores_the_weights_exactly():
    """With a learning rate of 0 nothing changes, not even by rounding, even if the second pass fails."""
    w = nn.Parameter(torch.randn(100) * 1e3)
    before = w.detach().clone()
    optimizer = SAM(SGD([w], lr=0.0), rho=1e-3)

    def closure(fail=False):
        if fail and optimizer.perturbed:
            raise RuntimeError("out of memory")
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(w, before)
    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step(lambda: closure(fail=True))
    assert torch.equal(w, before)
    assert not optimizer.perturbed


def test_sam_at_a_stationary_point_does_not_move():
    w = nn.Parameter(torch.zeros(2))
    optimizer = SAM(SGD([w], lr=0.1))

    def closure():
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(w.detach(), torch.zeros(2))


def test_sam_requires_a_closure():
    with pytest.raises(ValueError, match="closure"):
        SAM(SGD([nn.Parameter(torch.zeros(1))], lr=0.1)).step()


def test_schedule_changes_the_base_optimizer_of_sam():
    optimizer = build_optimizer(groups()[0], "sgd", sam_rho=0.05)
    schedule = build_schedule(optimizer, "exponential", total_steps=2, steps_per_epoch=1, gamma=0.5)
    optimizer.step(lambda: torch.zeros(()))
    schedule.step()
    assert [g["lr"] for g in optimizer.base.param_groups] == pytest.approx([0.05, 0.1])


@pytest.mark.parametrize("options", [{"name": "adamw"}, {"name": "sgd"}, {"name": "adamw", "sam_rho": 0.05}])
def test_training_resumed_from_a_state_dict_matches_an_uninterrupted_one(options):
    data = torch.randn(20, 3)

    def start():
        found, network = groups()
        optimizer = build_optimizer(found, **options)
        return network, optimizer, build_schedule(optimizer, "cosine", total_steps=20, steps_per_epoch=5)

    def run(network, optimizer, schedule, rows):
        for x in data[rows]:

            def closure(x=x):
                optimizer.zero_grad()
                loss = (network(x) - 1).square().sum()
                loss.backward()
                return loss

            optimizer.step(closure)
            schedule.step()

    whole = start()
    run(*whole, slice(0, 20))

    first = start()
    run(*first, slice(0, 8))
    saved = [part.state_dict() for part in first]
    second = start()
    for part, state in zip(second, saved, strict=True):
        part.load_state_dict(state)
    run(*second, slice(8, 20))
    for resumed, expected in zip(second[0].parameters(), whole[0].parameters(), strict=True):
        assert torch.equal(resumed, expected)
    assert [g["name"] for g in second[1].param_groups] == ["weights", "biases"]


@pytest.mark.slow  # imports Lightning
def test_sam_trains_under_lightning_automatic_optimisation():
    import lightning as L
    from torch.utils.data import DataLoader, TensorDataset

    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16)

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.calls = nn.Linear(4, 1), []

        def training_step(self, batch, batch_idx):
            self.calls.append(self.optimizers().optimizer.perturbed)
            return (self.net(batch[0]) - batch[1]).square().mean()

        def configure_optimizers(self):
            parameters = [{"params": list(self.net.parameters()), "name": "net"}]
            optimizer = build_optimizer(parameters, "sgd", lr=0.05, sam_rho=0.05, weight_decay=0.0)
            schedule = build_schedule(optimizer, "cosine", total_steps=80, steps_per_epoch=4)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    module = Module()
    trainer = L.Trainer(
        max_epochs=20,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=10.0,
    )
    trainer.fit(module, loader)
    assert module.calls == [False, True] * 80
    assert trainer.global_step == 80
    assert (module.net(x) - x.sum(1, keepdim=True)).square().mean() < 1e-2


def strided(values: torch.Tensor, *, channels_last: bool) -> torch.Tensor:
    return values.clone().contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_fused_cpu_update_matches_the_plain_one(name):
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 3, 5, 5), torch.randn(3, 4, 3, 5, 5)
    results = []
    for fused in (None, False):
        w = nn.Parameter(strided(start, channels_last=True))
        optimizer = build_optimizer([{"params": [w]}], name, lr=0.01, fused=fused)
        assert bool(optimizer.defaults["fused"]) is (fused is None)
        for gradient in gradients:
            w.grad = strided(gradient, channels_last=True)
            optimizer.step()
        results.append(w.detach())
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-7)


def test_gradients_in_another_memory_format_are_handled():
    # torch 2.14's fused kernels walk flat memory and would add each gradient to some other weight.
    torch.manual_seed(0)
    start, gradient = torch.randn(4, 3, 5, 5), torch.randn(4, 3, 5, 5)
    results = []
    for channels_last in (True, False):
        w = nn.Parameter(strided(start, channels_last=True))
        w.grad = strided(gradient, channels_last=channels_last)
        build_optimizer([{"params": [w]}], lr=0.1).step()
        results.append(w.detach())
    assert torch.equal(*results)


def test_optimizer_state_in_another_memory_format_is_converted_on_loading():
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 3, 5, 5), torch.randn(2, 4, 3, 5, 5)
    first = nn.Parameter(strided(start, channels_last=False))
    optimizer = build_optimizer([{"params": [first]}], lr=0.1)
    first.grad = gradients[0].clone()
    optimizer.step()
    second = nn.Parameter(strided(first.detach(), channels_last=True))
    resumed = build_optimizer([{"params": [second]}], lr=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for w, o, last in ((first, optimizer, False), (second, resumed, True)):
        w.grad = strided(gradients[1], channels_last=last)
        o.step()
    torch.testing.assert_close(first.detach(), second.detach(), rtol=1e-6, atol=1e-7)
