"""Grad-CAM: show which regions of a face support a class.

Paper: Selvaraju et al., Grad-CAM, ICCV 2017, arXiv 1610.02391. Computed by the package grad-cam (Gildenblat, MIT,
https://github.com/jacobgil/pytorch-grad-cam). This project derives the target layer from the stages of the backbone,
for any family, and also supports frozen weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mfer_lightning.errors import UserError, expect_choice
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn.backbones.attended import TokenMap

#: Our names -> the package's classes.
METHODS = {"gradcam": "GradCAM", "hirescam": "HiResCAM", "layercam": "LayerCAM"}

#: Minimum number of positions per side of a feature map. Smaller maps localise nothing, so an earlier stage is used.
LEAST_SIDE = 4


def explain(
    model: FERModel,
    faces: Tensor,
    classes: Sequence[int] | None = None,
    *,
    stage: int | None = None,
    method: str = "gradcam",
    batch_size: int = 16,
) -> NDArray[np.float32]:
    """Compute a map of the regions that support a class, for each face.

    Each map is scaled to [0, 1] by its own minimum and maximum, so it shows where the class is supported most, but not
    how strongly. It is 0 everywhere if nothing supports the class.

    Args:
        model: a loaded model; it is not changed.
        faces: uint8 (B,3,H,W), RGB, on any device.
        classes: (B,) class of each face, as an index into the model's ``class_names``; None: the predicted one.
        stage: the backbone stage to explain (from 1), including its attention; None: see :func:`default_stage`.
        method: ``"gradcam"``; ``"hirescam"`` (Draelos and Carin 2020) or ``"layercam"`` (Jiang et al. 2021), which
            weight each position separately.
        batch_size: faces per batch; memory use is as in training.

    Returns:
        (B,H,W) float32 within [0, 1], with the same size as the faces.

    Raises:
        ValueError: if an argument is out of range.
        UserError: if the package grad-cam is missing, or timm lists no stages for the backbone.
    """
    if faces.dim() != 4 or faces.dtype != torch.uint8:
        raise ValueError(
            f"Expected argument `faces` to be uint8 (B,3,H,W), but got {faces.dtype} {tuple(faces.shape)}."
        )
    expect_choice("method", method, METHODS)
    legal = range(len(model.class_names))
    if classes is not None and (len(classes) != len(faces) or any(k not in legal for k in classes)):
        raise ValueError(
            f"Expected argument `classes` to contain {len(faces)} numbers within [0, {len(model.class_names) - 1}], "
            f"but got {list(classes)}."
        )
    height, width = faces.shape[-2:]
    maps = np.zeros((len(faces), height, width), dtype=np.float32)
    layer, layout = target_layer(model, stage_of(model, faces, stage))
    for start in range(0, len(faces), batch_size):
        part = slice(start, start + batch_size)
        pixels = model.preprocess(faces[part].to(model.device))
        wanted = None if classes is None else [int(k) for k in classes[part]]
        for i, found in enumerate(activation_maps(model.network, pixels, layer, layout, wanted, method), start):
            scaled = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
            maps[i] = np.clip(scaled, 0, 1)
    return maps


def activation_maps(
    network: nn.Module,
    pixels: Tensor,
    layer: nn.Module,
    layout: str | TokenMap = "NCHW",
    classes: Sequence[int] | None = None,
    method: str = "gradcam",
) -> NDArray[np.float32]:
    """Compute the maps of a network from its normalised input.

    Args:
        network: a network in evaluation mode that maps (B,3,H,W) to a dict with ``logits`` (B,K).
        pixels: normalised images (B,3,H,W).
        layer: the module whose output is explained.
        layout: layout of that output: ``"NCHW"``, ``"NHWC"``, or the arrangement of its tokens as a feature map.
        classes: (B,) the classes to explain; None: the predicted ones.
        method: a name in :data:`METHODS`.

    Returns:
        (B,H,W) float32 within [0, 1], with the same size as the input.

    Raises:
        UserError: if the package grad-cam is missing.
    """
    library, target = require_package()
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(pixels.device.type, enabled=False):
        pixels = pixels.clone()  # a tensor created in inference mode cannot be differentiated
        # The gradient is requested for the input, since the weights of a loaded model are frozen.
        with getattr(library, METHODS[method])(_Logits(network), [layer], _to_channels_first(layout)) as cam:
            cam.compute_input_gradient = True
            wanted = None if classes is None else [target(k) for k in classes]
            found: NDArray[np.float32] = cam(pixels, wanted)
    return found


def _to_channels_first(layout: str | TokenMap) -> Callable[[Tensor], Tensor] | None:
    """Return a function that converts a layer's output to (B,C,H,W); None if it has this layout."""
    if isinstance(layout, TokenMap):
        return lambda output: layout(output).permute(0, 3, 1, 2)
    return (lambda output: output.permute(0, 3, 1, 2)) if layout == "NHWC" else None


def target_layer(model: FERModel, stage: int) -> tuple[nn.Module, str | TokenMap]:
    """Find the last module of a stage, including attention, and the layout of its feature map or tokens.

    Args:
        model: the model.
        stage: number from 1, as returned by :func:`stage_of`.

    Returns:
        The module, and ``"NCHW"``, ``"NHWC"`` or the arrangement of its tokens.
    """
    backbone = model.network.backbone
    found = backbone.stages[stage - 1]
    layout = TokenMap(found.prefix, found.order).to(model.device) if found.layout == "tokens" else found.layout
    return backbone.model.get_submodule(found.module), layout


def stage_of(model: FERModel, faces: Tensor, stage: int | None = None) -> int:
    """Choose the stage to explain.

    Args:
        model: the model.
        faces: (B,3,H,W), the faces to explain; only their size is used.
        stage: number from 1; None: :func:`default_stage`.

    Raises:
        ValueError: if there is no such stage.
        UserError: if the backbone has no stages.
    """
    stages = model.network.backbone.stages
    if not stages:
        raise UserError(
            "Grad-CAM needs feature maps, but timm lists no stages for this backbone. Use another backbone (convnext, "
            "resnet, swin, vit, ...)."
        )
    side = int(model.preprocess.size or min(faces.shape[-2:]))
    # With the class token as the feature, the positions after the last block have no gradient.
    usual = stages[:-1] if getattr(model.network.backbone, "pool", "avg") == "token" else stages
    number = default_stage([s.reduction for s in usual], side) if stage is None else stage
    if not 1 <= number <= len(stages):
        raise ValueError(f"Expected argument `stage` within [1, {len(stages)}], but got {stage}.")
    return number


def default_stage(reductions: Sequence[int], side: int) -> int:
    """Choose the deepest stage whose feature map has at least :data:`LEAST_SIDE` positions per side.

    If all stages have the same resolution, as in a plain transformer, this is the last stage.

    Args:
        reductions: image side divided by feature-map side, for each stage.
        side: side of the network's input in pixels.

    Returns:
        The number of the stage, from 1; 1 if all maps are too small.

    Example:
        >>> default_stage([4, 8, 16, 32], 224), default_stage([4, 8, 16, 32], 64), default_stage([4, 8, 16, 32], 8)
        (4, 3, 1)
    """
    if len(set(reductions)) == 1:
        return len(reductions)
    return max((n for n, r in enumerate(reductions, 1) if side / r >= LEAST_SIDE), default=1)


class _Logits(nn.Module):
    """Wrap a network for the package grad-cam, which expects a module from images to logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)["logits"]
        return logits


def require_package() -> tuple[Any, Callable[[int], Any]]:
    """Import the package grad-cam, and return it with its target class.

    Called before any slow work, so that a missing package is reported immediately.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        raise UserError(
            "Grad-CAM needs the package grad-cam, which is not installed: pip install 'mfer_lightning[cam]'."
        ) from error
    return pytorch_grad_cam, ClassifierOutputTarget
