"""A non-finite loss is found, and its batch is named, even if the check comes later."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mfer_lightning.callbacks import FiniteLossGuard, TrainingDivergedError
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER, Preprocess


class OnGPU:
    """A loss that claims to be on a GPU, where a check synchronises."""

    device = torch.device("cuda")

    def __init__(self, value: float) -> None:
        self.value = torch.tensor(value)

    def detach(self) -> torch.Tensor:
        return self.value


@pytest.fixture(scope="module")
def module() -> FERModule:
    tiny = {"name": "convnext_atto", "options": {"depths": [1] * 4, "dims": [8, 8, 16, 16]}}
    network = MFER(tiny, 2, attention="none")
    return FERModule(network, Objective(CrossEntropy()), Preprocess(size=32), class_names=("sadness", "happiness"))


def trainer(step: int) -> SimpleNamespace:
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    return SimpleNamespace(
        global_step=step, current_epoch=1, world_size=1, strategy=strategy, checkpoint_callback=None, datamodule=None
    )


def train(guard: FiniteLossGuard, module: FERModule, losses: list[float]) -> None:
    for number, loss in enumerate(losses):
        module.batch_index = torch.arange(3) + 100 * number
        guard.on_train_batch_start(trainer(number // 2), module, None, number)
        guard.on_before_backward(trainer(number // 2), module, OnGPU(loss))


def test_first_bad_batch_is_named_by_a_delayed_check(module: FERModule) -> None:
    nan = float("nan")
    with pytest.raises(TrainingDivergedError, match=r"epoch 2, step 1, batch 3 \(rows of the batch: 300, 301, 302\)"):
        train(FiniteLossGuard(every=5), module, [1.0, 1.0, 1.0, nan, nan])


def test_interval_between_checks_is_respected(module: FERModule) -> None:
    guard = FiniteLossGuard(every=5)
    train(guard, module, [1.0, 1.0, 1.0, float("inf")])
    with pytest.raises(TrainingDivergedError, match="batch 3"):
        guard.on_train_epoch_end(trainer(2), module)


def test_checked_batches_are_forgotten(module: FERModule) -> None:
    guard = FiniteLossGuard(every=2)
    train(guard, module, [1.0] * 7)
    assert len(guard._seen) == 1


def test_non_finite_weights_are_detected_before_the_checkpoint(module: FERModule) -> None:
    guard = FiniteLossGuard()
    guard.on_train_epoch_end(trainer(2), module)
    weight = next(module.parameters())
    before = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("inf"))
    try:
        with pytest.raises(TrainingDivergedError, match="weights are not finite numbers after epoch 2, step 2"):
            guard.on_train_epoch_end(trainer(2), module)
    finally:
        with torch.no_grad():
            weight.copy_(before)


def test_invalid_check_interval_raises_value_error() -> None:
    with pytest.raises(ValueError, match="`every`"):
        FiniteLossGuard(0)
