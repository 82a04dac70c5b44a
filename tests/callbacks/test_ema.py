"""The moving average against a plain loop."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from mfer_lightning.callbacks import WarmEMA


class _Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)


class _Trainer:
    global_step = 0


def test_average_matches_the_formula_for_weights_and_buffers() -> None:
    torch.manual_seed(0)
    module, trainer, ema = _Module(), _Trainer(), WarmEMA(decay=0.9)
    ema.setup(trainer, module, "fit")
    expected: dict[str, torch.Tensor] = {}
    for step in range(1, 15):
        with torch.no_grad():
            for value in module.state_dict().values():
                value.add_(1) if value.dtype == torch.int64 else value.add_(torch.randn_like(value))
        trainer.global_step = step
        ema.on_train_batch_end(trainer, module, None, None, 0)
        previous = step - 1
        decay = min(0.9, (1 + previous) / (10 + previous))
        for name, value in module.state_dict().items():
            if step == 1 or value.dtype == torch.int64:
                expected[name] = value.clone()
            else:
                expected[name] = decay * expected[name] + (1 - decay) * value
    average = ema._average_model.module.state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(average[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_out_of_range_decay_raises_value_error(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        WarmEMA(decay)
