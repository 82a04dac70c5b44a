"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from mfer_lightning.errors import check_number

#: Beyond it float32 cannot tell 1 - decay from 0 well: the average would stand still.
LARGEST_DECAY = 0.9999999


class WarmEMA(WeightAveraging):
    """Moving average of all weights and buffers from the first step on, used for validation, checkpoints and test.

    After step n the average moves towards the weights by ``1 - min(decay, (1 + n) / (10 + n))``, so that a run of a few
    hundred steps is averaged over its own last part and not over its start.

    Differs from Lightning's ``EMAWeightAveraging`` in this warm-up, and in updating all tensors in one fused call.

    Args:
        decay: share of the old average kept at each step once warm, from 0 to :data:`LARGEST_DECAY`.

    Raises:
        ValueError: where ``decay`` is outside of that.
    """

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = check_number("decay", decay, 0, LARGEST_DECAY)
        super().__init__(multi_avg_fn=self._move)

    def _move(self, averages: list[Tensor], weights: list[Tensor], _: Any) -> None:
        n = self._latest_update_step  # counted on the host: reading AveragedModel's own counter would stall a GPU
        decay = min(self.decay, (1 + n) / (10 + n))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - decay)
        else:  # counters, such as BatchNorm's
            torch._foreach_copy_(averages, weights)
