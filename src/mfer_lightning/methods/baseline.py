"""Baseline: standard training, with the objective applied to the network's output."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mfer_lightning.methods.base import Method, Step


class Baseline(Method):
    """Standard training: one forward pass and the loss against the batch's targets."""

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the terms of the objective; see :meth:`Method.forward`."""
        return step.objective(step.network(batch["image"]), batch["target"])
