"""A backbone: the stages of a model, attention inserted after some of them, pooling and the final LayerNorm.

Works with models that follow timm's conventions (``forward_features``, module names) and does not import timm.
Attention is inserted into the model itself, because timm's features-only models cannot pass a modified feature map to
the next stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones.attended import AttendedStage, AttendedTokens, TokenMap
from mfer_lightning.nn.backbones.pooling import pool_tokens
from mfer_lightning.nn.backbones.trace import Stage, Trace, replace_module
from mfer_lightning.nn.convolution import speed_up_depthwise

#: Stage number (from 1) -> a function ``(channels, layout) -> module`` that creates the attention after that stage.
Attend = Mapping[int, Callable[[int, str], nn.Module]]


class Backbone(nn.Module):
    """Map normalised images to features: stages, then by default global average pooling and LayerNorm (eps 1e-6).

    Stages are numbered as in the paper: in a five- or six-level model, the last four resolutions are stages 1 to 4, so
    stages 3 and 4 have strides 16 and 32 in every common family. A plain transformer has a single resolution; its
    stages are the quarters of its depth (our choice, since the paper has no such network), or end at the blocks in
    ``stage_blocks``.

    Args:
        model: a model without a classifier and without modules that do not contribute to the feature, because
            distributed training needs a gradient for every parameter.
        layout: its stages and its final map.
        config: a complete specification, see :func:`~mfer_lightning.nn.backbones.specification.complete`.
        attend: attention modules to insert, by stage.
        side: ``image_size``, or the side that the model was traced with if that is None, in pixels.
        fixed_side: the only image side that the model accepts, in pixels; None: it accepts others.
        pruned: timm's names of the modules that were removed because the feature does not depend on them.

    Attributes:
        model: the model.
        norm: the final LayerNorm, or Identity.
        stages: a :class:`~mfer_lightning.nn.backbones.trace.Stage` (module, channels, layout, ...) per stage.
        feature_dim: width D of the feature.
        has_map: whether the feature is the mean of a feature map; false only for tokens that
            are pooled in a different way, or whose positions do not form a known square map.
        pool: how tokens are pooled, one of :data:`~mfer_lightning.nn.backbones.pooling.POOLS`.
        side: as given.
        pruned: as given.

    Raises:
        UserError: if the model does not support attention after these stages.
    """

    model: Any  # timm's models share methods but no base class

    def __init__(
        self,
        model: nn.Module,
        layout: Trace,
        config: Mapping[str, Any],
        *,
        attend: Attend | None = None,
        side: int,
        fixed_side: int | None = None,
        pruned: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.model, self.pool, self.side, self.pruned = model, config["pool"], side, pruned
        self.stages: tuple[Stage, ...] = layout.stages
        self.feature_dim = layout.channels
        self._final_layout = layout.final
        self._prefix_tokens = layout.prefix_tokens
        last = self.stages[-1] if self.stages else None
        in_place = last is not None and last.layout == "tokens" and not last.problem and self.pool == "avg"
        self.has_map = layout.final != "tokens" or in_place
        self._final_tokens = TokenMap(layout.prefix_tokens, last.order if last is not None else None)
        self._fixed_side = fixed_side
        self._wrapped: list[str] = []
        for number, make in sorted((attend or {}).items()):
            self._attend(self._stage(number, config["name"]), make)
        speed_up_depthwise(self.model)
        self.norm = nn.LayerNorm(self.feature_dim, eps=1e-6) if config["norm"] == "layer" else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Map normalised images (B,C,H,W) to features (B,D); see :meth:`pooled_map`."""
        return self.pooled_map(image)[0]

    def pooled_map(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map normalised images (B,C,H,W) to features and the map they are pooled from.

        Returns:
            The feature (B,D), and the last map (B,D,h,w) before pooling and norm; None if ``has_map`` is false.

        Raises:
            ValueError: if the network has a fixed size and the images have a different one.
        """
        side = self._fixed_side
        if side is not None and image.shape[2:] != (side, side):
            raise ValueError(
                f"Expected argument `image` of {side}x{side} pixels, the size that this network was built "
                f"for, but got {image.shape[2]}x{image.shape[3]}. Build it with image_size={image.shape[3]}."
            )
        x = self.model.forward_features(image)
        if self._final_layout == "tokens":  # a transformer
            pooled = pool_tokens(self.pool, self.model, x, self._prefix_tokens)
        else:
            pooled = x.mean((2, 3) if self._final_layout == "NCHW" else (1, 2))
        return self.norm(pooled), self._as_map(x) if self.has_map else None

    def _as_map(self, x: Tensor) -> Tensor:
        """Return the final positions as a map (B,D,h,w)."""
        if self._final_layout == "tokens":
            x = self._final_tokens(x)
        return x if self._final_layout == "NCHW" else x.permute(0, 3, 1, 2)

    def timm_name(self, name: str) -> str | None:
        """Return timm's name of one of our parameters or buffers, or None (attention, adapters, our norm).

        Args:
            name: as in ``state_dict()`` of this module, e.g. ``"model.stages.2.stage.blocks.0.gamma"``.

        Returns:
            E.g. ``"stages.2.blocks.0.gamma"``, which timm's ``group_matcher`` (layer-wise decay) understands.
        """
        if not name.startswith("model."):
            return None
        if ".lora_" in name:  # part of an adapter (mfer_lightning.nn.adapter)
            return None
        name = name.removeprefix("model.").replace(".base_layer.", ".")
        for path in self._wrapped:
            if name.startswith(f"{path}.attention."):
                return None
            if name.startswith(f"{path}.stage."):
                return f"{path}.{name.removeprefix(f'{path}.stage.')}"
        return name

    def set_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations within stages in the backward pass, trading time for memory.

        Args:
            enable: whether to recompute them.

        Raises:
            UserError: if the model does not support it, or was loaded for prediction only.
        """
        if not enable and not getattr(self.model, "set_grad_checkpointing", None):
            return
        try:
            self.model.set_grad_checkpointing(enable)
        except (AttributeError, AssertionError, TypeError) as error:
            raise UserError(
                "trainer.checkpointing=true: timm cannot checkpoint this backbone. Use a smaller loader.batch_size "
                "with trainer.accumulate_grad_batches instead."
            ) from error
        for path in self._wrapped:  # timm sets the attribute on the wrapper
            stage = self.model.get_submodule(path).stage
            if hasattr(stage, "grad_checkpointing"):
                stage.grad_checkpointing = enable

    def _attend(self, stage: Stage, make: Callable[[int, str], nn.Module]) -> None:
        """Insert attention after a stage."""
        own = self.model.get_submodule(stage.module)
        if stage.layout == "tokens":
            tokens = TokenMap(stage.prefix, stage.order)
            attended: AttendedStage = AttendedTokens(own, make(stage.channels, "NHWC"), tokens)
        else:
            attended = AttendedStage(own, make(stage.channels, stage.layout))
        replace_module(self.model, stage.module, attended)
        self._wrapped.append(stage.module)

    def _stage(self, number: int, name: str) -> Stage:
        if not self.stages:
            raise UserError(
                f"Backbone '{name}' does not support attention after a stage: timm lists no stages for it. "
                "Use attention=none or another model (convnext, resnet, swin, vit, ...)."
            )
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(self.stages):
            last = list(range(1, len(self.stages) + 1))[-2:]
            raise UserError(
                f"Backbone '{name}' has stages 1 to {len(self.stages)}; attention cannot be placed after "
                f"{number!r}. Use attention.stages={str(last).replace(' ', '')}."
            )
        stage = self.stages[number - 1]
        if self.pool == "token" and stage.layout == "tokens" and stage is self.stages[-1]:
            raise UserError(
                f"Backbone '{name}': with backbone.pool=token, the positions after the last block are not used, so "
                f"attention after stage {number} has no effect. Use attention.stages=[{number - 1}] or "
                "backbone.pool=avg."
            )
        if stage.problem:
            raise UserError(
                f"Backbone '{name}' does not support attention after stage {number} ('{stage.module}'): "
                f"{stage.problem}. Use attention=none or another backbone."
            )
        return stage
