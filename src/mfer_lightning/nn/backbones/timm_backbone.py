"""Use any timm model as a feature extractor, with attention inserted after its stages.

timm: Wightman, https://github.com/huggingface/pytorch-image-models (Apache 2.0), used as a library. The paper's
backbone is ConvNeXt-Base (Liu et al., CVPR 2022, arXiv 2201.03545) with drop-path 0.25. Ours: attention is inserted
into the model, because timm's features-only models cannot pass a modified feature map to the next stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import timm
from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones.attended import AttendedStage, AttendedTokens, TokenMap
from mfer_lightning.nn.backbones.image_size import (
    build_for_size,
    check_patches,
    fixed_side,
    legal_sizes,
    traced_side,
)
from mfer_lightning.nn.backbones.model_names import check_model_name
from mfer_lightning.nn.backbones.pooling import POOL_WORDS, POOLS, check_pool, pool_tokens
from mfer_lightning.nn.backbones.small_stem import shrink_stem, small_stem_options
from mfer_lightning.nn.backbones.trace import (
    DoesNotRunError,
    Stage,
    prune_unused,
    replace_module,
    run_on_meta,
    trace,
    without_data,
)
from mfer_lightning.nn.convolution import speed_up_depthwise
from mfer_lightning.nn.options import Spec, check_options, split

_DEFAULTS: Mapping[str, Any] = {
    "drop_path_rate": None,
    "stem": "default",
    "stem_stride": None,
    "norm": "layer",
    "pool": "avg",
    "stage_blocks": None,
    "options": {},
}
_STEMS = ("default", "small")
_NORMS = ("layer", "none")
_NETWORKS_OWN = frozenset(["pretrained", "num_classes", "in_chans", "features_only"])
#: Options with which timm opens files. They are rejected, because a network description may come from untrusted data.
_FILES = frozenset(["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"])
#: The paper trains ConvNeXt-Base with this rate; other models keep timm's default unless overridden.
_PAPER_DROP_PATH = 0.25


def resolve_timm(spec: Spec) -> dict[str, Any]:
    """Complete the specification of a timm backbone.

    Args:
        spec: a timm model name, or a mapping with ``name`` and any of ``drop_path_rate``, ``stem``, ``stem_stride``,
            ``norm``, ``pool``, ``stage_blocks``, ``options``.

    Returns:
        A plain dict with all of these options.

    Raises:
        UserError: for an unknown model, option or value.
    """
    name, given = split("backbone", spec)
    check_model_name(name)
    check_options("backbone", name, given, _DEFAULTS)
    config = {"name": name, **_DEFAULTS, "options": {}, **given}
    if isinstance(config["pool"], str):
        config["pool"] = POOL_WORDS.get(config["pool"], config["pool"])
    for option, legal in (("stem", _STEMS), ("norm", _NORMS), ("pool", POOLS)):
        if config[option] not in legal:
            raise UserError(f"Backbone option `{option}` must be one of {', '.join(legal)}, not {config[option]!r}.")
    if not isinstance(config["options"], dict):
        raise UserError(f"Backbone option `options` must be a mapping, not {config['options']!r}.")
    if config["stem_stride"] is not None and config["stem"] != "small":
        raise UserError("Backbone option `stem_stride` needs `stem: small`.")
    if config["drop_path_rate"] is None and name.split(".")[0] == "convnext_base":
        config["drop_path_rate"] = _PAPER_DROP_PATH
    return config


class Backbone(nn.Module):
    """Map normalised images to pooled, layer-normalised features: stages, global average pooling, LayerNorm (eps 1e-6).

    Stages are numbered as in the paper: in a five- or six-level model, the last four resolutions are stages 1 to 4, so
    3 and 4 have stride 16 and 32 in every common family. A plain transformer has a single resolution; its stages are
    the quarters of its depth (our choice, since the paper has no such network), or end at the blocks in
    ``stage_blocks``. timm's head is removed, together with all modules that do not contribute to the feature, because
    distributed training needs a gradient for every parameter.

    Args:
        config: a complete specification, see :func:`resolve_timm`.
        in_chans: number of image channels.
        attend: stage number (from 1) -> a function ``(channels, layout) -> module`` that creates its attention.
        image_size: side of the images in pixels; None: any size that the model accepts.

    Attributes:
        model: the timm model.
        norm: the final LayerNorm, or Identity.
        stages: a :class:`~mfer_lightning.nn.backbones.trace.Stage` (name, channels, stride, layout) per stage.
        feature_dim: width D of the feature.
        has_map: whether the feature is the mean of a feature map; false only if tokens are pooled in a different way.
        pool: how tokens are pooled, one of :data:`~mfer_lightning.nn.backbones.pooling.POOLS`.
        side: image side that the model was traced with, in pixels.
        pruned: timm's names of the modules that were removed because the feature does not depend on them.

    Raises:
        UserError: if the model cannot be built as requested, or does not support attention after these stages.
    """

    model: Any  # timm's models share methods but no base class

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        in_chans: int = 3,
        attend: Mapping[int, Callable[[int, str], nn.Module]] | None = None,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        name, self.pool = config["name"], config["pool"]
        try:
            self.model = create_timm_model(config, in_chans=in_chans, image_size=image_size)
            check_patches(self.model, name, image_size)
            check_pool(self.pool, self.model, name)
            side = traced_side(self.model, config, image_size)
            layout = trace(self.model, name, in_chans, side, partial(pool_tokens, self.pool), config["stage_blocks"])
            self.pruned = prune_unused(self.model, name, layout)
            self.stages: tuple[Stage, ...] = layout.stages
            self.feature_dim = layout.channels
            self._final_layout = layout.final
            self._prefix_tokens = layout.prefix_tokens
            last = self.stages[-1] if self.stages else None
            in_place = last is not None and last.layout == "tokens" and not last.problem and self.pool == "avg"
            self.has_map = layout.final != "tokens" or in_place
            self._final_tokens = TokenMap(layout.prefix_tokens, last.order if last is not None else None)
            self._fixed_side = fixed_side(self.model)
            self._wrapped: list[str] = []
            for number, make in sorted((attend or {}).items()):
                self._attend(self._stage(number, name), make)
            self.side = image_size or side
            if attend or self.side != side:  # check that it runs at this size with its stages wrapped
                run_on_meta(without_data(self.model), name, in_chans, self.side)
        except DoesNotRunError as error:
            if image_size is None:
                raise
            sizes = legal_sizes(lambda side: create_timm_model(config, image_size=side), name, image_size)
            raise UserError(f"{error}{sizes}") from error
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
            UserError: if the timm model does not support it.
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
                "Use `attention: none` or another model (convnext, resnet, swin, vit, ...)."
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
                f"{stage.problem}. Use `attention: none` or another backbone."
            )
        return stage


def create_timm_model(
    config: Mapping[str, Any], *, in_chans: int = 3, pretrained: bool = False, image_size: int | None = None
) -> nn.Module:
    """Build the timm model of a complete specification, without its classifier.

    Args:
        config: see :func:`resolve_timm`.
        in_chans: number of image channels.
        pretrained: download timm's weights. The stem then stays unchanged.
        image_size: side of the images in pixels; None: any size that the model accepts.

    Raises:
        UserError: if timm's constructor rejects the options or the size.
    """
    name = config["name"]
    where = timm.model_entrypoint(name).__module__
    family = where.rsplit(".", 1)[-1]
    options = dict(config["options"])
    small = config["stem"] == "small" and not pretrained
    if small:
        options.update(small_stem_options(family, config["stem_stride"], options))
    if config["drop_path_rate"] is not None:
        options["drop_path_rate"] = config["drop_path_rate"]
    reserved = (_NETWORKS_OWN | _FILES) & set(options)
    if reserved:
        raise UserError(
            f"Backbone '{name}': `options` must not set {', '.join(sorted(reserved))}, which the network sets."
        )
    try:
        create = partial(timm.create_model, name, pretrained=pretrained, num_classes=0, in_chans=in_chans)
        model: nn.Module = build_for_size(create, name, options, image_size)
    except (TypeError, ValueError, AssertionError, AttributeError, IndexError, KeyError) as error:
        # timm passes options to the model's constructor, which raises any of these for an invalid one
        size = "" if image_size is None else f" for images of {image_size}x{image_size}"
        raise DoesNotRunError(
            f"timm cannot build backbone '{name}'{size} with the options {options}: "
            f"{str(error).rstrip('.') or type(error).__name__}. Legal options are the arguments of its "
            f"constructor in {where}."
        ) from error
    if small:
        shrink_stem(model, name, family, config["stem_stride"])
    return model
