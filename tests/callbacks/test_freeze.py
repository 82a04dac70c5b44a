"""A frozen backbone keeps the weights and statistics of the pre-trained network, and learns afterwards."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mfer_lightning.callbacks import FreezeBackbone
from mfer_lightning.errors import UserError
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.optim import build_optimizer, parameter_groups

RESNET = {"name": "resnet18", "drop_path_rate": 0.5, "options": {"channels": [8, 8, 16, 16]}}


def build(backbone: object = None) -> FERModule:
    torch.manual_seed(0)
    network = MFER(backbone or RESNET, 3, attention={"name": "ds", "kernel_size": 3})
    classes = ("sadness", "happiness", "anger")
    return FERModule(network, Objective(CrossEntropy()), Preprocess(size=32), class_names=classes)


def begin(callback: FreezeBackbone, module: FERModule, epoch: int) -> None:
    callback.on_train_epoch_start(SimpleNamespace(current_epoch=epoch), module)


def step(module: FERModule, optimizer: torch.optim.Optimizer) -> None:
    image = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    optimizer.zero_grad()
    module.objective(module(image), torch.eye(3)[[0, 1, 2, 0]])["total"].backward()
    optimizer.step()


def pretrained(module: FERModule) -> dict[str, torch.Tensor]:
    backbone = module.network.backbone
    return {n: v.clone() for n, v in backbone.state_dict().items() if backbone.timm_name(n) is not None}


def test_weights_statistics_and_drop_path_are_frozen_while_attention_and_heads_learn() -> None:
    module, callback = build().train(), FreezeBackbone(epochs=2)
    optimizer = build_optimizer(parameter_groups(module.network, lr=0.1, weight_decay=0.5))
    for epoch in (0, 1):
        begin(callback, module, epoch)
        before, whole = pretrained(module), {n: v.clone() for n, v in module.network.state_dict().items()}
        step(module, optimizer)
        assert any("running_mean" in name for name in before)
        for name, value in pretrained(module).items():
            assert torch.equal(value, before[name]), name
        moved = {n for n, v in module.network.state_dict().items() if not torch.equal(v, whole[n])}
        assert any(".attention." in name for name in moved)
        assert any(name.startswith("head.") for name in moved)
        assert "backbone.norm.weight" in moved
    begin(callback, module, 2)
    before = pretrained(module)
    step(module, optimizer)
    after = pretrained(module)
    assert not torch.equal(after["model.conv1.weight"], before["model.conv1.weight"])
    assert not torch.equal(after["model.bn1.running_mean"], before["model.bn1.running_mean"])
    assert all(m.training for m in module.modules())


def test_backbone_can_stay_frozen_throughout() -> None:
    callback = FreezeBackbone(epochs=None)
    assert all(callback.frozen(epoch) for epoch in (0, 5, 500))
    assert [FreezeBackbone(epochs=2).frozen(epoch) for epoch in range(4)] == [True, True, False, False]


def test_trained_modules_keep_their_mode() -> None:
    module = build().train()
    begin(FreezeBackbone(), module, 0)
    modes = {name: m.training for name, m in module.network.named_modules()}
    assert not modes["backbone.model.bn1"]
    attention = [n for n, m in module.network.named_modules() if n.endswith(".attention")]
    assert len(attention) == 2
    assert all(modes[n] for n in attention)
    assert modes["head"]


def test_network_without_our_backbone_is_rejected() -> None:
    module = build()
    module.network = nn.Linear(2, 2)
    with pytest.raises(UserError, match="freeze=backbone"):
        begin(FreezeBackbone(), module, 0)


def test_zero_epochs_raise_value_error() -> None:
    with pytest.raises(ValueError, match="`epochs`"):
        FreezeBackbone(0)
