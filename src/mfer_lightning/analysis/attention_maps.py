"""Read the attention weights of DS attention modules: one weight per channel and position of a feature map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn.attention import DSAttention


@dataclass(frozen=True)
class AttentionMaps:
    """The weights of one attention module.

    Args:
        stage: the backbone stage that it follows, from 1.
        weights: (B,C,H,W) float32; each channel sums to 1 over the positions of a face.
    """

    stage: int
    weights: NDArray[np.float32]

    @property
    def mean(self) -> NDArray[np.float32]:
        """(B,H,W) mean over the channels, which also sums to 1 over the positions."""
        return np.asarray(self.weights.mean(axis=1))

    def most_active(self, count: int) -> NDArray[np.int64]:
        """Return the channels with the least uniform weights of each face.

        A channel is ranked by the sum of its squared weights: 1 if one position has all the weight, 1/(H*W) if all
        weights are equal.

        Args:
            count: number of channels; all of them if there are fewer.

        Returns:
            (B, count) int64 channel indices, least uniform first.
        """
        uneven = (self.weights.astype(np.float64) ** 2).sum(axis=(2, 3))
        return np.asarray(np.argsort(-uneven, axis=1, kind="stable")[:, :count])


def attention_maps(model: FERModel, faces: Tensor, batch_size: int = 32) -> list[AttentionMaps]:
    """Read the weights of every DS attention module for a batch of faces.

    Hooks recompute the weights from the inputs of the modules, so that normal forward passes need not store them.

    Args:
        model: a loaded model; it is not changed.
        faces: uint8 (B,3,H,W), RGB.
        batch_size: faces per batch.

    Returns:
        One entry per module, in the order of the stages; empty if the network has no DS attention.
    """
    modules = _modules(model.network)
    kept: dict[int, list[NDArray[np.float32]]] = {stage: [] for stage in modules}

    def keep(stage: int, module: DSAttention, x: Tensor) -> None:
        kept[stage].append(module.weights(x).float().cpu().numpy())

    handles = [
        module.register_forward_pre_hook(lambda m, inputs, stage=stage: keep(stage, m, inputs[0]))
        for stage, module in modules.items()
    ]
    try:
        with torch.inference_mode():
            for _ in model.batches(faces, batch_size):
                pass
    finally:
        for handle in handles:
            handle.remove()
    return [AttentionMaps(stage, np.concatenate(parts)) for stage, parts in sorted(kept.items()) if parts]


def _modules(network: nn.Module) -> dict[int, DSAttention]:
    """Return the attention modules by the number of the stage that they follow."""
    backbone = getattr(network, "backbone", None)
    found: dict[int, DSAttention] = {}
    for number, stage in enumerate(getattr(backbone, "stages", ()), start=1):
        module = getattr(backbone.model.get_submodule(stage.module), "attention", None)  # type: ignore[union-attr]
        if isinstance(module, DSAttention):
            found[number] = module
    return found
