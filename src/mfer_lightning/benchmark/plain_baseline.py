"""The plain baseline: a straightforward implementation of MFER, and a bare training loop.

Paper: Xu, Li, Yang, He, Luo: MFER, IEEE Transactions on Affective Computing 2024, doi 10.1109/TAFFC.2024.3458464.
The baseline uses the default memory format, reshapes feature maps to tokens and back in each attention module, and
trains with torch's AdamW. The option ``baselines`` sets its precision: by default, float32 on the CPU; float32, TF32
and bfloat16 in turn on a GPU. Its backbone is timm's ConvNeXt (for the small model, a plain ResNet). The comparison is
fair: the baseline computes the same results and lacks only the speed optimisations of this package. It shares no module
with :mod:`mfer_lightning.nn`; :func:`same_weights` copies the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NaiveAttention(nn.Module):
    """DS attention with reshapes.

    Args:
        width: number of channels.
        kernel_size: side of the convolution kernel.
    """

    def __init__(self, width: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.key = nn.Sequential(nn.Linear(width, width // 8), nn.GELU(), nn.Linear(width // 8, width))
        self.value = nn.Linear(width, width)
        self.attn = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention to a map (B,C,H,W), and return a map of the same shape."""
        batch, width, height, breadth = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        key = self.key(tokens) * tokens
        query = self.norm(F.gelu(self.attn(x)).flatten(2).transpose(1, 2))
        weights = torch.softmax(key + query, dim=1)
        change: Tensor = (weights * self.value(tokens)).transpose(1, 2).reshape(batch, width, height, breadth)
        return x + change


class NaiveHead(nn.Module):
    """Linear, GELU, Linear, applied to the first channels of the feature.

    Args:
        width: number of channels to use.
        num_classes: number of classes K.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.width = width
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B,D) to logits (B,K)."""
        return self.fc2(F.gelu(self.fc1(x[:, : self.width])))  # type: ignore[no-any-return]


class NaiveNetwork(nn.Module):
    """Pooling, LayerNorm and three heads on top of a timm network.

    Args:
        trunk: the timm network.
        num_classes: number of classes K.
    """

    def __init__(self, trunk: Any, num_classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        width = trunk.num_features
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.heads = nn.ModuleList(NaiveHead(width * share // 4, num_classes) for share in (2, 3, 4))

    def maps(self, x: Tensor) -> Tensor:
        """Map normalised images (B,3,S,S) to feature maps (B,D,H,W)."""
        return self.trunk.forward_features(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map normalised images (B,3,S,S) to the logits (B,K) of each of the three heads."""
        feature = self.norm(self.maps(x).mean((2, 3)))
        return tuple(head(feature) for head in self.heads)


class NaiveMFER(NaiveNetwork):
    """The paper's network: timm's ConvNeXt with attention after the last two stages.

    Args:
        name: name of a ConvNeXt in timm.
        num_classes: number of classes K.
        options: further arguments of its constructor.
    """

    def __init__(self, name: str, num_classes: int, options: Mapping[str, Any]) -> None:
        super().__init__(timm.create_model(name, num_classes=0, drop_path_rate=0.25, **options), num_classes)
        self.trunk.head = nn.Identity()  # timm's own pooling and norm
        widths = [info["num_chs"] for info in self.trunk.feature_info]
        self.attentions = nn.ModuleDict({str(i): NaiveAttention(widths[i]) for i in (2, 3)})

    def maps(self, x: Tensor) -> Tensor:
        """Map normalised images (B,3,S,S) to feature maps (B,D,H,W)."""
        x = self.trunk.stem(x)
        for i, stage in enumerate(self.trunk.stages):
            x = stage(x)
            if str(i) in self.attentions:
                x = self.attentions[str(i)](x)
        return x


class NaiveResNet(NaiveNetwork):
    """The network of ``experiment=ferplus_small``: timm's ResNet-18 with a small stem.

    Args:
        num_classes: number of classes K.
        options: further arguments of timm's constructor.
    """

    def __init__(self, num_classes: int, options: Mapping[str, Any]) -> None:
        super().__init__(timm.create_model("resnet18", num_classes=0, drop_path_rate=0.1, **options), num_classes)
        self.trunk.conv1 = nn.Conv2d(3, self.trunk.conv1.out_channels, 3, stride=2, padding=1, bias=False)
        self.trunk.maxpool = nn.Identity()


def naive_step(network: nn.Module, optimizer: torch.optim.Optimizer, image: Tensor, target: Tensor) -> None:
    """Do one training step.

    The loss is the sum of the heads' cross-entropies with label smoothing 0.1. Gradients are clipped to norm 1.

    Args:
        network: the baseline, in training mode.
        optimizer: its optimiser.
        image: normalised images (B,3,S,S).
        target: (B,) class indices or (B,K) probabilities.
    """
    optimizer.zero_grad()
    loss = torch.stack([F.cross_entropy(logits, target, label_smoothing=0.1) for logits in network(image)]).sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def same_weights(naive: NaiveMFER, ours: nn.Module) -> None:
    """Copy all weights of our MFER into the baseline.

    Args:
        naive: the baseline.
        ours: an ``MFER`` with the same backbone, DS attention and the multiscale head.
    """
    state: dict[str, Tensor] = {}
    for name, value in ours.state_dict().items():
        name = name.removeprefix("backbone.").replace("head.heads.", "heads.")
        parts = name.split(".")
        if ".attention." in name:  # model.stages.2.attention.key.0.weight
            name = f"attentions.{parts[2]}.{name.split('.attention.')[1]}"
        elif name.startswith("model."):
            name = "trunk." + name.removeprefix("model.").replace(".stage.", ".")
        state[name] = value
    naive.load_state_dict(state, strict=True)
