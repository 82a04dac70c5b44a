"""ResNet-18 and ResNet-34 in plain torch, to load trained models without importing timm.

Paper: He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, arXiv 1512.03385. The names and the
operations are those of timm's ``ResNet`` (Wightman, Apache 2.0), so a network gets the same weights and computes the
same numbers. Importing timm takes longer than everything else that a prediction with a small model does: it imports
torchvision and, with it, torch's compiler. Training uses timm, because these networks have no drop-path, gradient
checkpointing or layer-wise learning rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones.backbone import Attend, Backbone
from mfer_lightning.nn.backbones.trace import Stage, Trace

#: timm's name -> number of blocks per stage.
BLOCKS: Mapping[str, tuple[int, ...]] = MappingProxyType({"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)})

_CHANNELS = (64, 128, 256, 512)
_STEM_CHANNELS = 64
_STEM_STRIDE = 4  # of the first convolution and the pooling together
_PRETRAINED_SIDE = 224

_NO_TRAINING = (
    "This network was loaded for prediction only. To train it in Python, build it again with "
    "mfer_lightning.nn.build_network(network.config) and load its state_dict(). On the command line: "
    "mfer weights=<checkpoint>."
)

_prediction_only: ContextVar[bool] = ContextVar("prediction_only", default=False)


@contextmanager
def prediction_only() -> Iterator[None]:
    """Within the block, networks are built for prediction only: without drop-path, and without timm if possible."""
    token = _prediction_only.set(True)
    try:
        yield
    finally:
        _prediction_only.reset(token)


def needs_no_timm(name: str) -> bool:
    """Return whether a backbone of this name may be built without timm: within :func:`prediction_only`."""
    return _prediction_only.get() and name in BLOCKS


def build_plain_resnet(
    config: Mapping[str, Any], *, in_chans: int = 3, attend: Attend | None = None, image_size: int | None = None
) -> Backbone | None:
    """Build a backbone for prediction without timm.

    Args:
        config: a complete specification, see :func:`~mfer_lightning.nn.backbones.specification.complete`.
        in_chans: number of image channels.
        attend: attention modules to insert, by stage.
        image_size: side of the images in pixels; any size is accepted.

    Returns:
        The backbone; None for options that timm has to build or to reject.

    Raises:
        UserError: if there is no such stage to insert attention after.
    """
    options, rate, stride = config["options"], config["drop_path_rate"], config["stem_stride"]
    channels = options.get("channels", _CHANNELS)
    plain = (
        set(options) <= {"channels"}
        and isinstance(channels, (list, tuple))
        and len(channels) == len(_CHANNELS)
        and all(type(count) is int and count > 0 for count in channels)
        and (rate is None or (type(rate) in (int, float) and 0 <= rate < 1))
        and (stride is None or (type(stride) is int and 1 <= stride < _STEM_STRIDE))
        and config["pool"] == "avg"
        and config["stage_blocks"] is None
        and type(in_chans) is int
        and in_chans > 0
    )
    if not plain:
        return None
    small = config["stem"] == "small"
    stem_stride = (stride or _STEM_STRIDE // 2) if small else _STEM_STRIDE
    model = PlainResNet(BLOCKS[config["name"]], channels, in_chans, stem_stride=stem_stride, small_stem=small)
    stages = tuple(Stage(f"layer{n + 1}", width, stem_stride << n, "NCHW") for n, width in enumerate(channels))
    layout = Trace(stages, channels[-1], "NCHW", 0, frozenset(), frozenset())
    return Backbone(model, layout, config, attend=attend, side=image_size or _PRETRAINED_SIDE)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut.

    Args:
        channels: channels of the input.
        width: channels of the output.
        stride: stride of the first convolution and of the shortcut.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act2 = nn.ReLU(inplace=True)
        shortcut = (nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.downsample = nn.Sequential(*shortcut) if stride != 1 or channels != width else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,H,W) to (B,D,H/stride,W/stride), rounded up."""
        shortcut = x
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        if self.downsample is not None:  # in timm's order, so that an exported graph has the same order, too
            shortcut = self.downsample(shortcut)
        x += shortcut
        return self.act2(x)  # type: ignore[no-any-return]


class PlainResNet(nn.Module):
    """A ResNet of basic blocks without a classifier, for prediction only.

    Args:
        blocks: number of blocks per stage.
        channels: channels of the stages.
        in_chans: number of image channels.
        stem_stride: stride of the first convolution and the pooling together.
        small_stem: a 3x3 convolution without pooling instead of a 7x7 convolution with pooling.
    """

    def __init__(
        self, blocks: tuple[int, ...], channels: tuple[int, ...], in_chans: int, *, stem_stride: int, small_stem: bool
    ) -> None:
        super().__init__()
        kernel, stride = (3, stem_stride) if small_stem else (7, stem_stride // 2)
        self.conv1 = nn.Conv2d(in_chans, _STEM_CHANNELS, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM_CHANNELS)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_stem else nn.MaxPool2d(3, 2, padding=1)
        before = _STEM_CHANNELS
        for stage, (count, width) in enumerate(zip(blocks, channels, strict=True)):
            first = BasicBlock(before, width, 1 if stage == 0 else 2)
            rest = (BasicBlock(width, width, 1) for _ in range(count - 1))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
            before = width

    def train(self, mode: bool = True) -> PlainResNet:
        """Reject training mode, because training uses timm's network.

        Raises:
            UserError: if ``mode`` is True.
        """
        if mode:
            raise UserError(_NO_TRAINING)
        super().train(False)
        return self

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Reject gradient checkpointing, which is part of training.

        Raises:
            UserError: if ``enable`` is True.
        """
        if enable:
            raise UserError(_NO_TRAINING)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Reject the grouping of parameters by layer, which is part of training.

        Raises:
            UserError: always.
        """
        raise UserError(_NO_TRAINING)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (B,C,H,W) to pooled features (B,D), as timm's network without a classifier does."""
        return adaptive_avg_pool2d(self.forward_features(x), 1).flatten(1)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised images (B,C,H,W) to the last feature map (B,D,h,w)."""
        for part in self.children():
            x = part(x)
        return x
