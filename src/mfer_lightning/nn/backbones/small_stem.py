"""Reduce the downsampling in the stem of a network designed for 224 pixels.

With a total stride of 32, a 48-pixel face becomes a feature map of at most 2x2 positions, too few for attention. The
changes to the stems are the project's own, except the stem for ResNets (3x3 convolution, no pooling), which follows the
CIFAR networks of He et al., CVPR 2016, arXiv 1512.03385.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones.trace import replace_module, timm_facts

#: Families whose patch embedding checks sizes, so that the patch size must be passed to the constructor.
_PATCH_SIZE_FAMILIES = ("swin_transformer", "swin_transformer_v2")
_POOLS = ("maxpool", "features.pool0")


def small_stem_options(family: str, stem_stride: int | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor options for a small stem in this family.

    Args:
        family: name of the timm module that defines the model, e.g. ``"swin_transformer"``.
        stem_stride: total stride of the stem; None: 2, half of the original.
        options: the user's own options for the constructor.

    Returns:
        Options to add; empty if the stem is changed after building (:func:`shrink_stem`).

    Raises:
        UserError: if the user also sets a patch size.
    """
    if family not in _PATCH_SIZE_FAMILIES:
        return {}
    if "patch_size" in options:
        raise UserError("Use either `stem: small` or `options.patch_size`, not both, because each sets the patch size.")
    return {"patch_size": 2 if stem_stride is None else stem_stride}


def shrink_stem(model: nn.Module, name: str, family: str, stem_stride: int | None) -> None:
    """Reduce the downsampling of a timm model's stem, in place.

    A non-overlapping patch convolution gets smaller patches. If the stem has pooling, the pooling is removed, and a
    first convolution larger than 3x3 is replaced by a 3x3 convolution. For any other first convolution, only the stride
    is set.

    Args:
        model: the timm model.
        name: its name, for messages.
        family: name of the timm module that defines it.
        stem_stride: total stride of the first convolution and pooling together; None: half of the original.

    Raises:
        UserError: if the stem cannot be made smaller, or ``stem_stride`` is not legal for it.
    """
    if family in _PATCH_SIZE_FAMILIES:
        return
    path = timm_facts(model).get("first_conv")
    conv = _submodule(model, path) if isinstance(path, str) else None
    if not isinstance(conv, nn.Conv2d) or not isinstance(path, str) or conv.stride[0] == 1:
        raise UserError(
            f"Backbone '{name}' (timm family '{family}') has no stem that can be made smaller: its first "
            "layer is not a strided convolution. Use backbone.stem=default, larger images, or another family ("
            "convnext, resnet, regnet, efficientnet, mobilenet, swin, ...)."
        )
    pool = next((p for p in _POOLS if not isinstance(_submodule(model, p), (nn.Identity, type(None)))), None)
    original = conv.stride[0] * (2 if pool else 1)
    stride = original // 2 if stem_stride is None else stem_stride
    legal = [s for s in range(1, original) if pool is not None or original % s == 0]
    if stride not in legal:
        raise UserError(
            f"Backbone '{name}': `stem_stride` must be {' or '.join(map(str, legal))}, but got {stride}. It must be "
            f"smaller than {original}, the stride of the original stem{', and divide it' if pool is None else ''}."
        )
    if conv.kernel_size == conv.stride and conv.padding in ((0, 0), "valid"):
        replace_module(model, path, _convolution(conv, kernel=stride, stride=stride, padding=0))
    elif pool is not None and conv.kernel_size[0] > 3:
        replace_module(model, path, _convolution(conv, kernel=3, stride=stride, padding=1))
    else:
        conv.stride = (stride, stride)
    if pool is not None:
        replace_module(model, pool, nn.Identity())


def _convolution(old: nn.Conv2d, kernel: int, stride: int, padding: int) -> nn.Conv2d:
    new = nn.Conv2d(old.in_channels, old.out_channels, kernel, stride, padding, bias=old.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new


def _submodule(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None
