"""An independent MFER, written only from the published description: the reference for the parity tests.

Paper: Xu, Li, Yang, He, Luo, "MFER", IEEE Transactions on Affective Computing 2024, doi 10.1109/TAFFC.2024.3458464.
This is the network of the released checkpoints: Meta's ConvNeXt names, DS attention appended after the last block of
stages 3 and 4, a multiscale head. It shares no code with ``mfer_lightning`` or timm; it is slow and literal on
purpose (every normalisation, activation and softmax is spelt out), so that an error in the fast one cannot be hidden by
a common helper. It evaluates only: no drop-path, no initialisation worth training from.

Where the description is ambiguous, this file decides as documented here:

- The attention's LayerNorm is built without an epsilon in the released code: PyTorch's 1e-5. All others have 1e-6.
- Which layers carry biases follows from the parameter counts (153,438,016 in the backbone with attention, 1,918,997 in
  the heads): all of them do, and every LayerNorm is affine. No other combination gives these numbers.
- The bias of the attention's LayerNorm cannot change any output: it shifts a channel's scores by the same amount at
  every position, and the softmax over positions ignores that. It is in the checkpoint anyway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NaiveOutput(NamedTuple):
    """Outputs of the reference for a batch."""

    feature: Tensor  # (B, D)
    head_logits: tuple[Tensor, Tensor, Tensor]  # each (B, K)
    logits: Tensor  # (B, K), the sum of the three


def gelu(x: Tensor) -> Tensor:
    """The exact GELU, x * Phi(x); not the tanh approximation."""
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


class Norm(nn.Module):
    """LayerNorm over the last axis, for any number of leading axes."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = (centred * centred).mean(dim=-1, keepdim=True)  # divided by the width, not by width - 1
        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias


class ChannelsFirstNorm(Norm):
    """The same for (B, C, H, W), as in the down-sampling layers."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A ConvNeXt block: depthwise 7x7, norm, widen by 4, GELU, narrow, layer scale, residual. (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = Norm(width)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.dwconv(x).permute(0, 2, 3, 1)
        y = self.pwconv2(gelu(self.pwconv1(self.norm(y))))
        return x + (self.gamma * y).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """DS attention: dynamic global key, static local query. (B, C, H, W) in and out."""

    def __init__(self, width: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.key = nn.Sequential(nn.Linear(width, width // 8), nn.GELU(), nn.Linear(width // 8, width))
        self.value = nn.Linear(width, width)
        self.attn = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2)
        self.norm = Norm(width, 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, breadth = x.shape
        out = torch.empty_like(x)
        for b in range(batch):
            plane = x[b].permute(1, 2, 0)  # H, W, C
            key = self.key[2](gelu(self.key[0](plane))) * plane
            query = self.norm(gelu(self.attn(x[b : b + 1])[0].permute(1, 2, 0)))
            value = self.value(plane)
            scores = key + query
            for c in range(width):
                # one distribution per channel, over all positions of the map
                score = scores[:, :, c].reshape(height * breadth)
                weight = torch.exp(score - score.max())
                weight = (weight / weight.sum()).reshape(height, breadth)
                out[b, c] = plane[:, :, c] + weight * value[:, :, c]
        return out


class Head(nn.Module):
    """Linear, GELU, Linear. (B, n) -> (B, K)."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(gelu(self.fc1(x)))


class NaiveMFER(nn.Module):
    """The released network; ``state_dict()`` has exactly the names of the released checkpoints.

    Args:
        depths: blocks per stage; the attention modules take the index after the last block.
        dims: width of each stage.
        num_classes: K.
        kernel_size: side of the attention's static convolution.
    """

    def __init__(
        self,
        depths: Sequence[int] = (3, 3, 27, 3),
        dims: Sequence[int] = (128, 256, 512, 1024),
        num_classes: int = 7,
        kernel_size: int = 7,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, dims[0], 4, stride=4), ChannelsFirstNorm(dims[0]))]
        for narrow, wide in pairwise(dims):
            layers.append(nn.Sequential(ChannelsFirstNorm(narrow), nn.Conv2d(narrow, wide, 2, stride=2)))
        self.downsample_layers = nn.ModuleList(layers)
        stages: list[nn.Module] = []
        for s, (depth, width) in enumerate(zip(depths, dims, strict=True)):
            blocks: list[nn.Module] = [Block(width) for _ in range(depth)]
            if s in (2, 3):
                blocks.append(Attention(width, kernel_size))
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.norm = Norm(dims[3])
        quarter = dims[3] // 4
        self.msc = nn.ModuleList([Head(groups * quarter, num_classes) for groups in (2, 3, 4)])

    def forward(self, x: Tensor) -> NaiveOutput:
        """Evaluate normalised images (B, 3, H, W)."""
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        feature = self.norm(x.mean(dim=(2, 3)))
        quarter = feature.shape[1] // 4
        first, second, third = (
            head(feature[:, : groups * quarter]) for head, groups in zip(self.msc, (2, 3, 4), strict=True)
        )
        return NaiveOutput(feature, (first, second, third), first + second + third)


def random_released_state_dict(
    seed: int,
    depths: Sequence[int] = (3, 3, 27, 3),
    dims: Sequence[int] = (128, 256, 512, 1024),
    num_classes: int = 7,
    kernel_size: int = 7,
) -> dict[str, Tensor]:
    """Make random float32 weights in the released layout, under which every layer matters.

    Plain initialisation would hide errors: zero biases, unit norms, a layer scale of 1e-6, and an attention whose
    scores are so flat that its output is negligible next to the residual. Here biases and norms are non-trivial, the
    layer scale lies between 0.1 and 0.6 with either sign, and the attention's scores and values are large enough to
    move the feature by far more than any comparison tolerates.

    Args:
        seed: seed of the generator; the global one is not touched.
        depths: as for :class:`NaiveMFER`.
        dims: as for :class:`NaiveMFER`.
        num_classes: as for :class:`NaiveMFER`.
        kernel_size: as for :class:`NaiveMFER`.

    Returns:
        Name -> tensor, the names of ``NaiveMFER(...).state_dict()``.
    """
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in NaiveMFER(depths, dims, num_classes, kernel_size).state_dict().items()}
    attention = tuple(f"stages.{s}.{depths[s]}." for s in (2, 3))
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith("gamma"):
            magnitude = 0.1 + 0.5 * torch.rand(shape, generator=generator)
            state[name] = magnitude.copysign(noise)
        elif len(shape) > 1:
            fan_in = math.prod(shape[1:])
            gain = 1.4
            if name.startswith(attention):
                # A map's H*W positions share one unit of weight, so the values have to be large to matter. The scores
                # are quadratic in the input and go through an exponential, which magnifies rounding: keep them low, so
                # that two correct float32 networks of base size agree to about 1e-5.
                gain = 12.0 if "value" in name else 0.7
            state[name] = noise.mul_(gain / math.sqrt(fan_in))
        elif name.endswith("weight"):
            state[name] = 1.0 + 0.25 * noise
        else:
            state[name] = 0.3 * noise
    return state


def load_naive(state_dict: dict[str, Tensor], **sizes: object) -> NaiveMFER:
    """Return the reference in evaluation mode with exactly these weights."""
    with torch.device("meta"):
        model = NaiveMFER(**sizes)  # type: ignore[arg-type]
    model.load_state_dict(state_dict, strict=True, assign=True)
    return model.requires_grad_(False).eval()


def images(seed: int, batch: int, size: int) -> Tensor:
    """Return normalised random images (B, 3, size, size): smooth blobs with some grain, so that position matters."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 3, 8, 8, generator=generator)
    blobs = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return blobs + 0.3 * torch.randn(batch, 3, size, size, generator=generator)
