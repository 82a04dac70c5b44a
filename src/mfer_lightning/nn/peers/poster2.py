"""POSTER V2 (POSTER++): window cross attention between maps of an IR-50 and of a landmark network, then a transformer.

Paper: Mao, Xu, Yin, Chang, Nie, Huang, Wang: POSTER++: A simpler and stronger facial expression recognition network,
Pattern Recognition 2024, arXiv 2301.12149. Structure from the paper; widths, initial values, and frozen parts as in the
authors' public code (https://github.com/Talented-Q/POSTER_V2, MIT), whose weight files can be loaded. These files also
contain modules that the authors' network never calls, which are left out. For both networks, the face is resized to 112
pixels; the authors use images of 224 pixels and take every second pixel. The weights of the landmark network are
frozen, but its batch norms follow the training mode of the whole network, as in the authors' code. This project adds
options for depths, widths and sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_count
from mfer_lightning.nn.base import Network, Output
from mfer_lightning.nn.convolution import speed_up_depthwise
from mfer_lightning.nn.options import Spec
from mfer_lightning.nn.peers.last_map import backbone_with_map
from mfer_lightning.nn.peers.window_attention import CrossFusion

#: Side of each level's fused map, relative to that of the last level.
_STEPS = (4, 2, 1)
_NORM = partial(nn.LayerNorm, eps=1e-6)
_VIT_UNUSED = ("patch_embed", "eca_block", "CON1", "IRLinear1", "IRLinear2")


class POSTER2(Network):
    """POSTER V2.

    Args:
        num_classes: K.
        depths: residual units of the IR network's three stages.
        widths: channels of these three stages, each a multiple of ``heads`` at the same level.
        landmark_depths: inverted residuals of the landmark MobileFaceNet's stages.
        freeze_landmarks: freeze the landmark network's weights, which then should be pre-trained.
        heads: attention heads of the three levels.
        embed_dim: width D of the transformer and of the feature, a multiple of 8.
        blocks: transformer blocks.
        inner_size: side of the face in both networks, a multiple of 16.
        in_chans: channels of the images.
        image_size: side of the images in pixels; any size is supported.

    Raises:
        UserError: if the sizes are invalid or inconsistent.

    Example:
        >>> small = {"depths": (1, 1, 1), "widths": (8, 8, 16), "landmark_depths": (1, 1, 1), "embed_dim": 16}
        >>> out = POSTER2(**small, inner_size=32).eval()(torch.zeros(2, 3, 64, 64))
        >>> out["feature"].shape, out["logits"].shape
        (torch.Size([2, 16]), torch.Size([2, 7]))
    """

    name: ClassVar[str] = "poster2"

    def __init__(
        self,
        num_classes: int = 7,
        *,
        depths: Sequence[int] = (3, 4, 14),
        widths: Sequence[int] = (64, 128, 256),
        landmark_depths: Sequence[int] = (4, 6, 2),
        freeze_landmarks: bool = True,
        heads: Sequence[int] = (2, 4, 8),
        embed_dim: int = 768,
        blocks: int = 2,
        inner_size: int = 112,
        in_chans: int = 3,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = check_count("num_classes", num_classes)
        _check(depths, widths, landmark_depths, heads, embed_dim, inner_size)
        if not isinstance(freeze_landmarks, bool):
            raise UserError(f"POSTER2: `freeze_landmarks` must be true or false, not {freeze_landmarks!r}.")
        self.config = {
            "name": self.name,
            "num_classes": num_classes,
            "depths": list(depths),
            "widths": list(widths),
            "landmark_depths": list(landmark_depths),
            "freeze_landmarks": freeze_landmarks,
            "heads": list(heads),
            "embed_dim": embed_dim,
            "blocks": check_count("blocks", blocks),
            "inner_size": inner_size,
            "in_chans": in_chans,
            "image_size": image_size,
        }
        self.inner_size = inner_size
        self.feature_dim = embed_dim
        options = {"depths": list(depths), "widths": list(widths)}
        ir: Spec = {"name": "ir50_evolve", "options": options}
        self._ir, self.backbone = backbone_with_map("POSTER2", ir, in_chans=in_chans, image_size=inner_size)
        self.backbone.model.output_layer = nn.Sequential(nn.Identity())  # the maps are taken before it
        self.landmarks = timm.create_model(
            "mobilefacenet", num_classes=0, in_chans=in_chans, depths=list(landmark_depths)
        )
        speed_up_depthwise(self.landmarks)
        self.landmarks.requires_grad_(not freeze_landmarks)
        side = inner_size // 16
        self.levels = nn.ModuleList(
            CrossFusion(width, count, side * step, theirs, rate, always=level == 2)
            for level, (width, count, step, theirs, rate) in enumerate(
                zip(widths, heads, _STEPS, self._landmark_widths(), (0.0, 0.125, 0.25), strict=True)
            )
        )
        strided = [nn.Conv2d(width, embed_dim, 3, 2, 1) for width in widths[:2]]
        self.embed = nn.ModuleList(
            [
                nn.Sequential(strided[0], nn.Conv2d(embed_dim, embed_dim, 3, 2, 1)),
                nn.Sequential(strided[1]),
                nn.Sequential(nn.Conv2d(widths[2], embed_dim, 1)),
            ]
        )
        self.fusion = Fusion(embed_dim, 3 * side * side, blocks)
        self.head = nn.Linear(embed_dim, num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.outputs = ("feature", "logits", "head_logits")

    def forward(self, image: Tensor) -> Output:
        """Classify normalised faces, float (B,C,H,W) of any size.

        Raises:
            ValueError: for integer images, which have not been normalised.
        """
        self.check_image(image)
        size = (self.inner_size, self.inner_size)
        if image.shape[2:] != size:
            image = F.interpolate(image, size)  # the nearest pixel, as in the authors' code
        tokens = []
        faces, landmarks = self._ir_maps(image), self._landmark_maps(image)
        for level, embed, face, landmark in zip(self.levels, self.embed, faces, landmarks, strict=True):
            tokens.append(embed(level(face, landmark)).flatten(2).transpose(1, 2))
        feature = self.fusion(torch.cat(tokens, 1))
        logits = self.head(feature)
        return {"feature": feature, "logits": logits, "head_logits": (logits,)}

    @property
    def backbone_config(self) -> dict[str, Any]:
        """The complete specification of the IR network."""
        return self._ir

    def no_weight_decay(self) -> set[str]:
        """Return the parameters without weight decay, as in timm."""
        return {"cls_token", "pos_embed", "relative_position_bias_table"}

    def _ir_maps(self, image: Tensor) -> list[Tensor]:
        """Return the maps of the IR network's stages: (B,widths[i],S/2^(i+1),S/2^(i+1))."""
        model = self.backbone.model
        x = model.stem(image)
        maps, ends = [], set(accumulate(self.config["depths"]))
        for number, block in enumerate(model.stages(), start=1):
            x = block(x)
            if number in ends:
                maps.append(x)
        return maps

    def _landmark_maps(self, image: Tensor) -> list[Tensor]:
        """Return the landmark network's maps, with 1/4, 1/8 and 1/16 of the side of the image."""
        net = self.landmarks
        quarter = net.conv_3(net.conv_23(net.conv2_dw(net.conv1(image))))
        eighth = net.conv_4(net.conv_34(quarter))
        return [quarter, eighth, net.conv_6_sep(net.conv_5(net.conv_45(eighth)))]

    def _landmark_widths(self) -> tuple[int, int, int]:
        info = self.landmarks.feature_info
        return info[1]["num_chs"], info[2]["num_chs"], self.landmarks.num_features

    def public_names(self) -> Mapping[str, str]:
        """Return the names of our tensors in the authors' files."""
        return {name: self._public(name) for name in self.state_dict()}

    def _public(self, name: str) -> str:
        top, _, rest = name.partition(".")
        if top == "backbone":
            rest = self.backbone.timm_name(rest) or rest
            stage, _, inner = rest.partition(".")
            if stage != "body":
                return f"ir_back.{rest}"
            place, _, inner = inner.partition(".")
            block, starts = int(place), [0, *accumulate(self.config["depths"])]
            stage_number = max(i for i, start in enumerate(starts[:-1]) if start <= block)
            return f"ir_back.body{stage_number + 1}.{block - starts[stage_number]}.{inner}"
        if top == "landmarks":
            return f"face_landback.{rest}"
        if top == "levels":
            number, part, inner = rest.split(".", 2)
            level = int(number) + 1
            parts = {"norm": f"window{level}.norm", "landmark_conv": "last_face_conv"}
            return f"{parts.get(part, f'{part}{level}')}.{inner}"
        if top == "embed":
            number, inner = rest.split(".", 1)
            return ("embed_q." + inner, "embed_k." + inner, "embed_v.proj." + inner.partition(".")[2])[int(number)]
        return f"VIT.head.linear.{rest}" if top == "head" else f"VIT.{rest}"

    def public_left_out(self) -> tuple[str, ...]:
        """Return the unused entries of the authors' files: modules never called, and tables that we compute."""
        return (
            *("ir_back.output_layer", "face_landback.output_layer"),
            *(f"attn{level}.relative_position_index" for level in (1, 2, 3)),
            *(f"VIT.{name}" for name in _VIT_UNUSED),
            *(f"VIT.blocks.{number}.conv" for number in range(self.config["blocks"])),
        )


class Fusion(nn.Module):
    """A transformer over the tokens of all levels; its class token, weighted by a gate, is the feature.

    Args:
        width: D of a token, a multiple of 8.
        tokens: number N of tokens.
        blocks: number of transformer blocks, with 8 heads each.
    """

    def __init__(self, width: int, tokens: int, blocks: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, tokens + 1, width))
        self.blocks = nn.Sequential(*(Block(width, 8, 4.0, qkv_bias=True, norm_layer=_NORM) for _ in range(blocks)))
        self.norm = _NORM(width)
        self.se_block = Gate(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B,N,D) to the feature (B,D)."""
        x = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1) + self.pos_embed
        feature: Tensor = self.se_block(self.norm(self.blocks(x))[:, 0])
        return feature


class Gate(nn.Module):
    """Weight each channel of a feature by a function of all channels.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Weight features (B,D)."""
        weighed: Tensor = x * self.linear2(F.relu(self.linear1(x))).sigmoid()
        return weighed


def _check(
    depths: Sequence[int],
    widths: Sequence[int],
    landmark_depths: Sequence[int],
    heads: Sequence[int],
    embed_dim: int,
    inner_size: int,
) -> None:
    """Reject invalid or inconsistent sizes.

    Raises:
        UserError: with the name of the option.
    """
    given: dict[str, Any] = {"depths": depths, "widths": widths, "landmark_depths": landmark_depths, "heads": heads}
    for name, values in given.items():
        if not isinstance(values, Sequence) or len(values) != 3 or not all(type(v) is int and v > 0 for v in values):
            raise UserError(f"POSTER2: `{name}` must be three positive integers, not {values!r}.")
    for name, value, multiple in (("embed_dim", embed_dim, 8), ("inner_size", inner_size, 16)):
        if type(value) is not int or value < multiple or value % multiple:
            raise UserError(f"POSTER2: `{name}` must be a positive multiple of {multiple}, not {value!r}.")
    if any(width % count for width, count in zip(widths, heads, strict=True)):
        raise UserError(
            f"POSTER2: `widths` {list(widths)} must be multiples of the corresponding `heads` {list(heads)}."
        )
