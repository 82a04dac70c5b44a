"""Centres that start at the class means of the training faces."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from mfer_lightning.callbacks import CentersFromData
from mfer_lightning.losses import CrossEntropy, DSFLoss, Objective
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER, Preprocess

TINY = {"name": "convnext_atto", "drop_path_rate": 0.5, "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 16, 32]}}


def batches() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(24) % 3
    image = torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=generator)
    target = torch.eye(4)[label]  # the fourth class has no face
    return [{"image": i, "target": t} for i, t in zip(image.split(8), target.split(8), strict=True)]


def trainer_at(step: int) -> Any:
    return SimpleNamespace(
        global_step=step, world_size=1, datamodule=SimpleNamespace(train_dataloader=lambda: iter(batches()))
    )


def build(feature: Any) -> FERModule:
    torch.manual_seed(0)
    network = MFER(TINY, 4)
    return FERModule(
        network, Objective(CrossEntropy(), feature, 0.3), Preprocess(size=32), class_names=tuple("abcd")
    ).train()


@pytest.mark.parametrize(("faces", "used"), [(4096, 3), (10, 2), (8, 1)])
def test_each_centre_starts_at_the_mean_feature_of_its_class(faces: int, used: int) -> None:
    loss = DSFLoss(4, 32)
    lonely = loss.centers.detach()[3].clone()
    module = build(loss)
    CentersFromData(faces).on_train_start(trainer_at(0), module)
    seen = batches()[:used]
    module.network.eval()
    feature = torch.cat([module(b["image"])["feature"] for b in seen]).detach()
    label = torch.cat([b["target"] for b in seen]).argmax(1)
    for k in range(3):
        torch.testing.assert_close(loss.centers.detach()[k], feature[label == k].mean(0))
    assert torch.equal(loss.centers.detach()[3], lonely)


def test_network_stays_in_training_mode_and_unchanged() -> None:
    module = build(DSFLoss(4, 32))
    before = {k: v.clone() for k, v in module.network.state_dict().items()}
    CentersFromData().on_train_start(trainer_at(0), module)
    assert module.network.training
    assert all(torch.equal(v, before[k]) for k, v in module.network.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


def test_resumed_run_keeps_its_learned_centres() -> None:
    loss = DSFLoss(4, 32)
    before = loss.centers.detach().clone()
    CentersFromData().on_train_start(trainer_at(7), build(loss))
    assert torch.equal(loss.centers.detach(), before)


def test_loss_without_centres_is_ignored() -> None:
    CentersFromData().on_train_start(trainer_at(0), build(None))


def test_zero_faces_raise_value_error() -> None:
    with pytest.raises(ValueError, match="`faces` to be at least 1"):
        CentersFromData(0)
