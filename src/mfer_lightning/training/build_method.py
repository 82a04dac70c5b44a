"""Build the training method that ``method`` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mfer_lightning.config.instantiate import instantiate
from mfer_lightning.methods import Baseline, Method


def build_method(config: Mapping[str, Any], network: nn.Module, num_classes: int, num_faces: int) -> Method:
    """Build the method, with the sizes that it asks for by name.

    Args:
        config: plain resolved configuration; without ``method``, as those of earlier versions, it is the baseline.
        network: that it trains.
        num_classes: K.
        num_faces: rows of the dataset's table.

    Raises:
        UserError: where an option is not legal.
    """
    if "method" not in config:
        return Baseline()
    method: Method = instantiate(
        config["method"],
        where="method",
        base=Method,
        num_classes=num_classes,
        feature_dim=int(network.feature_dim),  # type: ignore[arg-type]
        num_faces=num_faces,
        seed=config["seed"],
    )
    return method
