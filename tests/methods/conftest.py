"""A small network, a training step and a batch for the tests of methods."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.methods import Step
from mfer_lightning.nn import MFER

CLASSES = 3


@pytest.fixture
def network() -> MFER:
    torch.manual_seed(0)
    backbone = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [4, 8, 12, 16]}}
    return MFER(backbone, CLASSES, attention="none", head="linear").double().eval()


@pytest.fixture
def step(network: MFER) -> Step:
    return Step(network, Objective(CrossEntropy(label_smoothing=0.0)), epoch=20)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    label = torch.tensor([0, 1, 2, 1, 0, 2])
    return {
        "image": torch.randn(6, 3, 64, 64, dtype=torch.float64),
        "pixels": torch.zeros(6, 3, 64, 64, dtype=torch.uint8),
        "label": label,
        "target": nn.functional.one_hot(label, CLASSES).double(),
        "index": torch.tensor([10, 4, 7, 2, 9, 0]),
    }
