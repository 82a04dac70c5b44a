"""Gradient checkpointing leaves the gradients unchanged and runs the checkpointed blocks twice, to save memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER

NETWORKS = [
    {"name": "convnext_tiny", "options": {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}, "drop_path_rate": 0.3},
    {"name": "resnet18", "options": {"channels": [8, 16, 24, 32]}},
]


def gradients(network: MFER, image: torch.Tensor) -> list[torch.Tensor]:
    network.zero_grad()
    torch.manual_seed(1)  # drop-path
    network.train()(image)["logits"].square().sum().backward()
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("backbone", NETWORKS, ids=lambda b: b["name"])
def test_gradients_are_equal_and_blocks_run_twice(backbone):
    torch.manual_seed(0)
    network, image = MFER(backbone, 3), torch.randn(2, 3, 64, 64)
    calls = []
    stage = network.backbone.model.get_submodule(network.backbone.stages[2].module).stage
    inner = next(m for m in stage.modules() if isinstance(m, (nn.Linear, nn.BatchNorm2d)))
    inner.register_forward_pre_hook(lambda module, inputs: calls.append(1))
    names = list(network.state_dict())
    plain = gradients(network, image)
    assert len(calls) == 1
    network.backbone.set_checkpointing()
    checkpointed = gradients(network, image)
    assert len(calls) == 3  # in the forward pass, and again in the backward pass
    for a, b in zip(plain, checkpointed, strict=True):
        torch.testing.assert_close(a, b)
    assert list(network.state_dict()) == names
    network.backbone.set_checkpointing(False)
    gradients(network, image)
    assert len(calls) == 4


def test_unsupported_backbone_raises_one_clear_error():
    network = MFER("convnext_atto", 3)
    network.backbone.model.set_grad_checkpointing = None
    network.backbone.set_checkpointing(False)  # nothing to do
    with pytest.raises(UserError, match=r"trainer\.checkpointing=true"):
        network.backbone.set_checkpointing()
