"""The baseline: the objective of the network's output, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mfer_lightning.methods.base import Method, Step


class Baseline(Method):
    """Ordinary training: one forward pass, the loss of its output against the batch's targets."""

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the objective's terms; see :meth:`Method.forward`."""
        return step.objective(step.network(batch["image"]), batch["target"])
