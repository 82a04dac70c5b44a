"""Losses on additional outputs of a network, besides the classification loss and the feature loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.losses.base import Loss


class OutputLoss(Loss):
    """A loss ``(output, target (B,K)) -> scalar`` on named outputs of a network.

    Args:
        weight: weight of the loss in the objective, >= 0.

    Raises:
        ValueError: if the weight is out of range.
    """

    #: Outputs of the network that the loss needs.
    needs: ClassVar[tuple[str, ...]] = ()
    settings: tuple[str, ...] = ("weight",)

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = check_number("weight", weight, 0.0)

    def forward(self, output: Mapping[str, Any], target: Tensor) -> Tensor:
        """Compute the unweighted loss.

        Args:
            output: outputs of the network.
            target: (B,K) distributions.
        """
        raise NotImplementedError
