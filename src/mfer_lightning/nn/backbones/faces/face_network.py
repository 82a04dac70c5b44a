"""Base class of the face networks, with the interface that timm expects: configuration, stages, checkpointing.

timm: Wightman, https://github.com/huggingface/pytorch-image-models (Apache 2.0), used as a library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from timm.models import checkpoint_seq, generate_default_cfgs
from torch import Tensor, nn

#: Width of the identity embedding in the publicly available weights.
EMBEDDING = 512
_SIDE = 112


def data_config(name: str, first_conv: str, classifier: tuple[str, ...]) -> Any:
    """Return timm's configuration of a face network: 112 pixels, with values in [-1, 1] as in training.

    Args:
        name: name of the network.
        first_conv: name of its first convolution.
        classifier: names of the modules that compute the identity embedding from the last feature map; a backbone does
            not have them.

    Example:
        >>> data_config("mobilefacenet", "conv1.conv", ("linear",))["mobilefacenet"].default.mean
        (0.5, 0.5, 0.5)
    """
    half = (0.5, 0.5, 0.5)
    described = {
        "input_size": (3, _SIDE, _SIDE),
        "pool_size": (7, 7),
        "num_classes": EMBEDDING,
        "mean": half,
        "std": half,
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "first_conv": first_conv,
        "classifier": classifier,
    }
    return generate_default_cfgs({name: described})


class FaceNetwork(nn.Module):
    """Base class of the face networks.

    Args:
        num_classes: width of the identity embedding; 0 for a backbone, whose output is a feature map.

    Attributes:
        num_features: channels of the last feature map.
        feature_info: last module, channels and stride of each stage.
    """

    num_features: int
    feature_info: list[dict[str, Any]]

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.grad_checkpointing = False

    def stem(self, x: Tensor) -> Tensor:
        """Map images to the input of the first stage."""
        raise NotImplementedError

    def stages(self) -> Iterable[nn.Module]:
        """Return the modules between the stem and the last feature map in order, including inserted attention."""
        raise NotImplementedError

    def last_map(self, x: Tensor) -> Tensor:
        """Map the output of the last stage to the input map of the identity embedding."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> Tensor:
        """Compute the identity embedding (B,num_classes) from the last map (B,D,7,7)."""
        raise NotImplementedError

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the patterns by which timm assigns parameters to layers, for layer-wise learning-rate decay."""
        raise NotImplementedError

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised images (B,C,H,W) to the last map: (B,D,H/16,W/16), or larger without the last stages."""
        x = self.stem(x)
        if self.grad_checkpointing:
            # a stage with blocks, or with attention after it, is checkpointed part by part
            parts = [part for stage in self.stages() for part in (stage if isinstance(stage, Iterable) else (stage,))]
            x = checkpoint_seq(parts, x)
        else:
            for stage in self.stages():
                x = stage(x)
        return self.last_map(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images to the identity embedding (B,num_classes); to the last map if ``num_classes`` is 0."""
        x = self.forward_features(x)
        return self.embed(x) if self.num_classes else x

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations in the backward pass."""
        self.grad_checkpointing = enable


def stage_widths(depths: Sequence[int], widths: Sequence[int]) -> list[tuple[int, int]]:
    """Pair the depth of each stage with its width.

    Args:
        depths: number of blocks of one to four stages. POSTER's networks end after the third.
        widths: channels of four stages, or of as many as in ``depths``.

    Raises:
        ValueError: if the values are not positive integers, or the number of stages is not as described.

    Example:
        >>> stage_widths([3, 4, 14], [64, 128, 256, 512])
        [(3, 64), (4, 128), (14, 256)]
    """
    whole = are_counts(depths) and are_counts(widths)
    if not whole or not 1 <= len(depths) <= 4 or len(widths) not in (4, len(depths)):
        raise ValueError(
            "Expected arguments `depths` and `widths` to contain a whole number for each of one to four "
            f"stages, but got {depths} and {widths}."
        )
    return list(zip(depths, widths, strict=False))


def are_counts(values: object) -> bool:
    """Whether a value is a list or tuple of whole numbers of at least 1.

    Example:
        >>> are_counts([3, 4]), are_counts([3, 0]), are_counts([1.5]), are_counts("34")
        (True, False, False, False)
    """
    return isinstance(values, (list, tuple)) and all(type(value) is int and value > 0 for value in values)


def drop_path_rates(rate: float, blocks: int) -> list[float]:
    """Return the drop-path rate of each block, linear from 0 to the given rate.

    Example:
        >>> drop_path_rates(0.5, 3)
        [0.0, 0.25, 0.5]
    """
    return [rate * i / max(blocks - 1, 1) for i in range(blocks)]


def convolution(in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Build a convolution without bias that preserves the size at stride 1."""
    return nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)


def initialise(network: nn.Module) -> None:
    """Initialise convolutions and linear layers by He et al.'s rule (fan-out); PyTorch's defaults for the rest."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
