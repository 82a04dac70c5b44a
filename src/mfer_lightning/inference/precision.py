"""Prediction in bfloat16, where the hardware multiplies it natively."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mfer_lightning.inference.model import FERModel

#: Layers whose arithmetic is matrix products. Norms, softmax and sums stay in float32, as under autocast.
_PRODUCTS = (nn.Linear, nn.Conv2d)


def in_bfloat16(model: FERModel) -> FERModel:
    """Let a model predict in bfloat16, in place: weights are converted once, and not at every batch by autocast.

    Figures in papers and ``result.json`` are in float32; this is for use, where probabilities may differ by a
    hundredth or so. It halves the memory of the weights, and cannot be undone but by loading the model again.

    Args:
        model: as :func:`~mfer_lightning.inference.model.read_model` gives it.

    Returns:
        The same model; its outputs are float32 as before.
    """
    for layer in model.network.modules():
        if isinstance(layer, _PRODUCTS):
            layer.to(torch.bfloat16)
    network = model.network
    plain = network.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        with torch.autocast(next(network.parameters()).device.type, torch.bfloat16):
            return plain(*arguments, **options)

    network.forward = forward  # type: ignore[method-assign]
    return model
