"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class WarmEMA(WeightAveraging):
    """Moving average of all weights and buffers from the first step on, used for validation, checkpoints and test.

    After step n the average moves towards the weights by ``1 - min(decay, (1 + n) / (10 + n))``, so that a run of a few
    hundred steps is averaged over its own last part and not over its start.

    Differs from Lightning's ``EMAWeightAveraging`` in this warm-up, and in updating all tensors in one fused call.

    Args:
        decay: share of the old average kept at each step once warm, in [0, 1).

    Raises:
        ValueError: where ``decay`` is outside [0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"Expected argument `decay` to be within [0, 1), but got {decay}.")
        self.decay = decay
        super().__init__(multi_avg_fn=self._move)

    def _move(self, averages: list[Tensor], weights: list[Tensor], _: Any) -> None:
        n = self._latest_update_step  # counted on the host: reading AveragedModel's own counter would stall a GPU
        decay = min(self.decay, (1 + n) / (10 + n))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - decay)
        else:  # counters, such as BatchNorm's
            torch._foreach_copy_(averages, weights)
