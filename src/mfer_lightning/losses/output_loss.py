"""Losses on further outputs of a network, beside the classification loss and the loss on the feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.losses.base import Loss


class OutputLoss(Loss):
    """A loss ``(output, target (B,K)) -> scalar`` on named outputs of a network.

    Args:
        weight: of the loss in the objective, >= 0.

    Raises:
        ValueError: where the weight is not legal.
    """

    #: Outputs of the network that it needs.
    needs: ClassVar[tuple[str, ...]] = ()
    settings: tuple[str, ...] = ("weight",)

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = check_number("weight", weight, 0.0)

    def forward(self, output: Mapping[str, Any], target: Tensor) -> Tensor:
        """Compute the unweighted loss.

        Args:
            output: of the network.
            target: (B,K) distributions.
        """
        raise NotImplementedError
