"""MFER: a backbone with attention and a classification head.

Paper: Xu, Li, Yang, He, Luo: MFER, IEEE Transactions on Affective Computing 2024, doi 10.1109/TAFFC.2024.3458464.
The defaults reproduce the network built by the authors' public code; docs/method.md lists each choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mfer_lightning.errors import UserError
from mfer_lightning.nn.attention import ATTENTIONS, build_attention
from mfer_lightning.nn.backbones import build_backbone, resolve_backbone
from mfer_lightning.nn.base import Network, Output
from mfer_lightning.nn.head import HEADS, build_head
from mfer_lightning.nn.options import Spec, resolve
from mfer_lightning.nn.valence_arousal import VALENCE_AROUSAL, ValenceArousalHead


class MFER(Network):
    """Facial expression network: timm backbone, DS attention after some stages, multiscale heads.

    Args:
        backbone: a timm model's name, or a mapping: ``name``, ``drop_path_rate`` (None: 0.25 for ConvNeXt-Base, else
            timm's default), ``stem`` (``"default"`` or ``"small"``, for small faces), ``stem_stride`` (of the small
            stem; None: half the original), ``norm`` of the pooled feature (``"layer"``, the paper's, or ``"none"``),
            ``pool`` of a transformer's tokens (``"avg"``, ``"token"``, ``"map"``), ``stage_blocks`` (where the stages
            of a plain transformer end; None: quarters of its depth), ``options`` (a mapping for timm's constructor,
            e.g. ``{"depths": [2, 2, 6, 2]}``).
        num_classes: number of classes K.
        attention: a name in :data:`~mfer_lightning.nn.attention.ATTENTIONS`, or a mapping with ``name`` and options:
            ``stages`` (from 1), ``kernel_size``, ``reduction``, ``norm_order``, ``norm_eps``, ``init``, ``residual``,
            ``static``, ``branches``.
        head: ``"multiscale"`` or ``"linear"``, or a mapping: ``groups``, ``scales``, ``grouping``.
        in_chans: number of image channels.
        image_size: side of the images in pixels, for models that are built for one size (mostly transformers); None:
            any size if the model can change it at run time, otherwise timm's default.
        valence_arousal: also predict valence and arousal.

    Attributes:
        feature_dim: width D of the feature.
        num_classes: number of classes K.
        outputs: names of the outputs of :meth:`forward`.
        config: a plain dict from which ``MFER(**config)`` builds the same network; usable in JSON and checkpoints.
        backbone: the :class:`~mfer_lightning.nn.backbones.backbone.Backbone`.
        head: the head.
        valence_arousal: the :class:`~mfer_lightning.nn.valence_arousal.ValenceArousalHead`, or None.

    Raises:
        UserError: for unknown names and options, and for backbones that do not support the attention or the size.

    Example:
        >>> net = MFER({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}, 7)
        >>> out = net(torch.zeros(2, 3, 64, 64))
        >>> out["feature"].shape, out["logits"].shape, len(out["head_logits"])
        (torch.Size([2, 32]), torch.Size([2, 7]), 3)
    """

    name: ClassVar[str] = "mfer"

    def __init__(
        self,
        backbone: Spec = "convnext_base",
        num_classes: int = 7,
        *,
        attention: Spec = "ds",
        head: Spec = "multiscale",
        in_chans: int = 3,
        image_size: int | None = None,
        valence_arousal: bool = False,
    ) -> None:
        super().__init__()
        attention_config = resolve("attention", attention, ATTENTIONS)
        self.config: dict[str, Any] = {
            "backbone": resolve_backbone(backbone),
            "num_classes": num_classes,
            "attention": attention_config,
            "head": resolve("head", head, HEADS),
            "in_chans": in_chans,
            "image_size": image_size,
        }
        if type(valence_arousal) is not bool:
            raise UserError(f"`valence_arousal` must be true or false, not {valence_arousal!r}.")
        if valence_arousal:  # included only if enabled, so that the configurations of other networks stay unchanged
            self.config[VALENCE_AROUSAL] = True
        self.num_classes = num_classes
        stages = attention_config.get("stages", [])
        if not isinstance(stages, list) or len(set(stages)) != len(stages):
            raise UserError(f"Attention option `stages` must be a list of different stage numbers, not {stages!r}.")
        if image_size is not None and (type(image_size) is not int or image_size < 1):
            raise UserError(f"`image_size` must be a number of pixels, 1 or more, or None, not {image_size!r}.")
        self.backbone = build_backbone(
            self.config["backbone"],
            in_chans=in_chans,
            image_size=image_size,
            attend={number: partial(build_attention, attention_config) for number in stages},
        )
        self.feature_dim = self.backbone.feature_dim
        self.head = build_head(self.config["head"], self.feature_dim, num_classes)
        self.valence_arousal = ValenceArousalHead(self.feature_dim) if valence_arousal else None
        further = (("map", self.backbone.has_map), (VALENCE_AROUSAL, valence_arousal))
        self.outputs = ("feature", "logits", "head_logits", *(name for name, has in further if has))

    def forward(self, image: Tensor) -> Output:
        """Classify normalised faces.

        Args:
            image: float (B,C,H,W), as :class:`~mfer_lightning.nn.preprocess.Preprocess` returns it.

        Returns:
            ``feature`` (B,D), ``logits`` (B,K), the sum over heads, ``head_logits``, one (B,K) per head, ``map``
            (B,D,h,w) before pooling and norm if the feature is the mean of a map, and ``valence_arousal`` (B,2) within
            [-1, 1] if the network predicts it.

        Raises:
            ValueError: for integer images, which have not been normalised.
        """
        self.check_image(image)
        feature, feature_map = self.backbone.pooled_map(image)
        head_logits = self.classify(feature)
        output: Output = {"feature": feature, "logits": summed(head_logits), "head_logits": head_logits}
        if feature_map is not None:
            output["map"] = feature_map
        if self.valence_arousal is not None:
            output["valence_arousal"] = self.valence_arousal(feature)
        return output

    def class_maps(self, feature_map: Tensor) -> Tensor:
        """Sum the logits of the heads at each position of a feature map, without gradients for norm and heads.

        For a single linear head without norm, these are the class activation maps of Zhou et al. (CVPR 2016) plus the
        bias of the head, and their mean over the positions is the prediction.

        Args:
            feature_map: (B,D,h,w), the output's ``map``.

        Returns:
            (B,K,h,w).
        """
        batch, width, *sides = feature_map.shape
        positions = _frozen(self.backbone.norm, feature_map.permute(0, 2, 3, 1).reshape(-1, width))
        logits = summed(_frozen(self.head, positions))
        return logits.reshape(batch, *sides, -1).permute(0, 3, 1, 2)


def summed(head_logits: Sequence[Tensor]) -> Tensor:
    """Sum the logits of the heads in at least float32, because sums in bfloat16 accumulate rounding errors.

    Args:
        head_logits: one (B,K) per head.

    Returns:
        (B,K).
    """
    logits = head_logits[0]
    if len(head_logits) == 1:
        return logits
    return torch.stack(tuple(head_logits)).sum(0, dtype=torch.promote_types(logits.dtype, torch.float32))


def _frozen(module: nn.Module, x: Tensor) -> Any:
    """Run a module without computing gradients for its weights."""
    return functional_call(module, {name: weight.detach() for name, weight in module.named_parameters()}, (x,))
