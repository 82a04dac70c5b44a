"""Resize and normalise uint8 faces for the network.

The ONNX export repeats these steps without branches on the image size
(:class:`mfer_lightning.inference.export.onnx_graph.FaceGraph`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError, expect_choice, nearest
from mfer_lightning.nn.options import plain

#: Named normalisations: (mean, std) of RGB in 0..1.
NORMALISATIONS: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = MappingProxyType(
    {
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    }
)
_INTERPOLATIONS = ("bilinear", "bicubic")
_COLOURS = ("RGB", "BGR")
_OPTIONS = ("size", "mean", "std", "interpolation", "antialias", "colour", "grey", "alignment", "channels_last")


class Preprocess(nn.Module):
    """Resize, scale to 0..1 and normalise, in float32 on the device of the images.

    Stored in the checkpoint, so that evaluation, prediction and export prepare faces as in training. Its buffers are
    not part of the state dict: :meth:`to_config` is stored instead.

    Args:
        size: side of the square output in pixels; None keeps the size of the images. Non-square images are stretched,
            not cropped, because faces are expected to be aligned and square.
        mean: mean of each channel in 0..1, in the order of ``colour``, or a name in :data:`NORMALISATIONS`.
        std: standard deviation of each channel, above 0, or a name.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
        antialias: apply a low-pass filter before shrinking, as PIL does and OpenCV does not.
        colour: the channel order of the network. Input images are always RGB.
        grey: convert to greyscale first, for a network trained on greyscale faces; greyscale images do not change.
        alignment: name and version of the face alignment applied to the images, or None. Stored, not applied.
        channels_last: return the output in channels_last memory, which convolutions prefer on many devices.

    Raises:
        ValueError: for arguments outside their range.

    Example:
        >>> preprocess = Preprocess(size=224, mean="half", std="half")
        >>> out = preprocess(torch.full((2, 3, 48, 48), 255, dtype=torch.uint8))
        >>> out.shape, round(out.max().item(), 4)
        (torch.Size([2, 3, 224, 224]), 1.0)
        >>> Preprocess.from_config(preprocess.to_config()).to_config() == preprocess.to_config()
        True
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        size: int | None = 224,
        mean: str | Sequence[float] = "imagenet",
        std: str | Sequence[float] = "imagenet",
        interpolation: str = "bilinear",
        antialias: bool = True,
        colour: str = "RGB",
        grey: bool = False,
        alignment: str | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ValueError(f"Expected argument `size` to be a positive integer or None, but got {size!r}.")
        for name, value, legal in (("interpolation", interpolation, _INTERPOLATIONS), ("colour", colour, _COLOURS)):
            expect_choice(name, value, legal)
        if alignment is not None and not isinstance(alignment, str):
            raise ValueError(f"Expected argument `alignment` to be a name or None, but got {alignment!r}.")
        self.size = size
        self.interpolation = interpolation
        self.antialias = bool(antialias)
        self.colour = colour
        self.grey = bool(grey)
        self.alignment = alignment
        self.channels_last = bool(channels_last)
        self.mean = _three("mean", mean, 0)
        self.std = _three("std", std, 1)
        if min(self.std) <= 0:
            raise ValueError(f"Expected argument `std` to contain numbers above 0, but got {self.std}.")
        # on the 0..255 scale, so that normalising is one subtraction and one multiplication
        self.register_buffer("shift", 255 * torch.tensor(self.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(self.std).view(3, 1, 1)), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Preprocess a batch.

        Args:
            image: uint8 (B,3,H,W), RGB.

        Returns:
            float32 (B,3,size,size), or (B,3,H,W) without ``size``; normalised, channels in the order of ``colour``.

        Raises:
            ValueError: if the batch is not uint8 (B,3,H,W); floats would be normalised twice.
        """
        if image.dtype != torch.uint8:
            raise ValueError(
                f"Expected argument `image` to be uint8 in 0..255, but got {image.dtype}. "
                "Preprocess normalises the images; pass them as decoded."
            )
        if image.dim() != 4 or image.shape[1] != 3:
            raise ValueError(f"Expected argument `image` to have shape (B, 3, H, W), but got {tuple(image.shape)}.")
        if self.colour == "BGR" and not self.grey:
            image = image.flip(1)
        memory = torch.channels_last if self.channels_last else torch.contiguous_format
        x = image.to(torch.float32, memory_format=memory)
        if self.grey:
            x = without_colour(x).contiguous(memory_format=memory)
        if self.size is None or x.shape[-2:] == (self.size, self.size):
            return x.sub_(self.shift).mul_(self.scale).contiguous(memory_format=memory)
        if max(x.shape[-2:]) <= self.size:
            # Resizing is a weighted mean, so normalising can come first, while there are fewer pixels. An antialiasing
            # filter has no effect when enlarging, and its kernel is slower. For bicubic it is kept, because torch uses
            # a = -0.5 with the filter, like PIL, and a = -0.75 without it.
            antialias = self.antialias and self.interpolation == "bicubic"
            x = self._resize(x.sub_(self.shift).mul_(self.scale), antialias)
            if self.interpolation == "bicubic":
                x = torch.clamp(x, (0 - self.shift) * self.scale, (255 - self.shift) * self.scale)
        else:
            x = self._resize(x, antialias=self.antialias)
            if self.interpolation == "bicubic":
                x = x.clamp_(0, 255)  # cubic weights overshoot at edges
            x = x.sub_(self.shift).mul_(self.scale)
        return x.contiguous(memory_format=memory)

    def _resize(self, x: Tensor, antialias: bool) -> Tensor:
        assert self.size is not None
        size = (self.size, self.size)
        return F.interpolate(x, size, mode=self.interpolation, align_corners=False, antialias=antialias)

    def to_config(self) -> dict[str, Any]:
        """Return the arguments as a plain dict, usable in JSON and checkpoints."""
        return {key: list(v) if isinstance(v := getattr(self, key), tuple) else v for key in _OPTIONS}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocess:
        """Build from the result of :meth:`to_config`.

        Raises:
            UserError: for unknown keys or values outside their range, as in a damaged checkpoint.
        """
        for key in config:
            if key not in _OPTIONS:
                raise UserError(f"Preprocessing has no option '{key}': {nearest(str(key), _OPTIONS)}")
        try:
            return cls(**plain(config))
        except (ValueError, TypeError) as error:
            raise UserError(f"Preprocessing: {error}") from error

    def extra_repr(self) -> str:
        """Show the arguments."""
        return ", ".join(f"{key}={value!r}" for key, value in self.to_config().items())


def without_colour(x: Tensor) -> Tensor:
    """Convert to greyscale like PIL's ``convert("L")``, with the same rounding, in three equal channels."""
    red, green, blue = x[:, 0:1], x[:, 1:2], x[:, 2:3]
    # The weights sum to 2 ** 16, and every sum stays below 2 ** 24, which float32 represents exactly.
    grey = torch.floor((19595 * red + 38470 * green + 7471 * blue + 32768) / 65536)
    return grey.expand(-1, 3, -1, -1)


def _three(name: str, value: str | Sequence[float], part: int) -> tuple[float, float, float]:
    if isinstance(value, str):
        if value not in NORMALISATIONS:
            raise ValueError(
                f"Expected argument `{name}` to be three numbers or one of {tuple(NORMALISATIONS)}, but got {value!r}."
            )
        return NORMALISATIONS[value][part]
    numbers = tuple(float(v) for v in value)
    if len(numbers) != 3 or not all(math.isfinite(v) and 0 <= v <= 1 for v in numbers):
        raise ValueError(
            f"Expected argument `{name}` to be three numbers in 0..1 (not 0..255), one per channel, but got {value!r}."
        )
    return numbers
