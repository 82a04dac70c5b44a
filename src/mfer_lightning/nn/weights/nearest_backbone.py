"""Find the backbone that a weight file belongs to, by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Size, Tensor

from mfer_lightning.nn.backbones import faces  # noqa: F401 - registers the face networks with timm
from mfer_lightning.nn.weights.face_layouts import LAYOUTS
from mfer_lightning.nn.weights.layouts import META_MARK, meta_name

#: timm networks whose weights are common; the face networks are tried as well.
_TIMM = (
    *("resnet18", "resnet34", "resnet50", "resnet101"),
    *("convnext_atto", "convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    *("swin_tiny_patch4_window7_224", "efficientnet_b0", "mobilenetv3_large_100"),
    *("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224"),
)
#: No backbone is suggested below this share.
_LEAST = 0.5
#: Name and options -> shapes of the tensors.
_known: dict[str, Mapping[str, tuple[int, ...]]] = {}


@dataclass(frozen=True)
class Fit:
    """How well a file matches a backbone.

    Args:
        backbone: name of the backbone.
        options: constructor options of the backbone.
        share: number of tensors in common divided by the number in either (intersection over union); 1: identical.
    """

    backbone: str
    options: Mapping[str, Any]
    share: float

    def __str__(self) -> str:
        options = ", ".join(f"{name}: {value}" for name, value in self.options.items())
        return f"backbone={self.backbone}" + (f" 'backbone.options={{{options}}}'" if options else "")


def nearest_backbone(state: Mapping[str, Tensor]) -> Fit | None:
    """Find the backbone that a weight file belongs to.

    Args:
        state: name -> tensor, without the usual prefixes.

    Returns:
        The best match; None if no backbone has a share of at least one half.

    Example:
        >>> import timm
        >>> with torch.device("meta"):
        ...     state = timm.create_model("iresnet50", num_classes=512).state_dict()
        >>> print(nearest_backbone(state))
        backbone=iresnet50
    """
    given = {name: tuple(tensor.shape) for name, tensor in state.items() if not is_counter(name)}
    best = max(_fits(given), key=lambda fit: fit.share)
    return best if best.share >= _LEAST else None


def is_counter(name: str) -> bool:
    """Whether a tensor is a batch-norm step counter, which older files lack and nothing here uses."""
    return name.endswith("num_batches_tracked")


def share_of(common: int, given: int, wanted: int) -> float:
    """Return the intersection over union of two sets of tensors.

    Example:
        >>> share_of(3, 3, 6)
        0.5
    """
    return common / max(given + wanted - common, 1)


def _fits(given: Mapping[str, tuple[int, ...]]) -> Iterator[Fit]:
    for layout in LAYOUTS:
        left_out = {*layout.left_out, *layout.made}
        yield _fit(given, layout.backbone, layout.options, layout.theirs, left_out)
    rename = meta_name if META_MARK in given else str
    for name in _TIMM:
        yield _fit(given, name, {}, rename, {"fc", "head", "classifier"})


def _fit(
    given: Mapping[str, tuple[int, ...]],
    name: str,
    options: Mapping[str, Any],
    rename: Callable[[str], str],
    left_out: set[str],
) -> Fit:
    wanted = {rename(key): shape for key, shape in _shapes(name, options).items()}
    inside = tuple(f"{part}." for part in left_out)
    wanted = {key: shape for key, shape in wanted.items() if not key.startswith(inside)}
    kept = {key: shape for key, shape in given.items() if not key.startswith(inside)}
    common = len(kept.items() & wanted.items())
    return Fit(name, options, share_of(common, len(kept), len(wanted)))


def _shapes(name: str, options: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of a backbone's tensors. Building all backbones takes seconds, so each is built only once."""
    key = f"{name} {dict(options)}"
    if key not in _known:
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=0, **options)
        _known[key] = {name: tuple(value.shape) for name, value in model.state_dict().items() if not is_counter(name)}
    return _known[key]


def differ_in_ones(theirs: Size, ours: Size) -> bool:
    """Whether two shapes differ only in dimensions of size 1.

    timm implements some of Meta's linear layers as 1x1 convolutions, and Meta's GRN parameters have three leading
    dimensions of size 1.
    """
    return (*theirs, 1, 1) == tuple(ours) or tuple(theirs) == (1, 1, 1, *ours)
