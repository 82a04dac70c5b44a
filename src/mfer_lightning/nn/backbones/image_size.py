"""Build a timm model for an image size, or list the sizes that it accepts.

Whether a model has an ``img_size`` is read from ``fixed_input_size`` in timm's ``pretrained_cfg``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import timm
import torch
from torch import nn

from mfer_lightning.errors import UserError

_STEP = 32  # pixels: total stride of the common families; multiples of it suit most window and mask-unit sizes


def build_for_size(create: Callable[..., nn.Module], name: str, options: Mapping[str, Any], size: int | None) -> Any:
    """Build a timm model for images of a given size.

    Args:
        create: builds the model from constructor options.
        name: name of the timm model.
        options: the user's options; an ``img_size`` among them overrides ``size``.
        size: side of the images in pixels; None: any size if the model can change it at run time (by interpolating the
            position embeddings in each pass), otherwise timm's default.

    Returns:
        The model. A model without an ``img_size`` is built unchanged.
    """
    facts = timm.get_pretrained_cfg(name)
    sizes: list[dict[str, Any]] = [{}]
    if facts is not None and facts.fixed_input_size and "img_size" not in options:
        sizes.insert(0, {"dynamic_img_size": True} if size is None else {"img_size": size})
    for more in sizes:
        try:
            return _with_or_without_drop_path(create, name, {**more, **options})
        except TypeError as error:  # some fixed-size models do not accept the argument
            if not any(f"'{key}'" in str(error) for key in more):
                raise
    raise AssertionError("the last attempt is without a size")


def _with_or_without_drop_path(create: Callable[..., nn.Module], name: str, options: Mapping[str, Any]) -> nn.Module:
    """Build a model; leave out a drop-path rate of 0 for models that do not accept the argument."""
    try:
        return create(**options)
    except TypeError as error:
        if "drop_path_rate" not in str(error) or "drop_path_rate" not in options:
            raise
        if options["drop_path_rate"]:
            raise UserError(f"Backbone '{name}' has no drop-path. Use backbone.drop_path_rate=0.") from error
        return create(**{key: value for key, value in options.items() if key != "drop_path_rate"})


def traced_side(model: nn.Module, config: Mapping[str, Any], size: int | None) -> int:
    """Return the image side to trace a model with.

    Args:
        model: the timm model.
        config: its complete specification.
        size: image side that the model is built for, or None.

    Returns:
        The side that the model was built for, if fixed; otherwise that of its pre-training.
    """
    facts = timm.get_pretrained_cfg(config["name"])
    given = config["options"].get("img_size", size if facts is not None and facts.fixed_input_size else None)
    embedded = getattr(getattr(model, "patch_embed", None), "img_size", None)
    fallback = facts.input_size[-1] if facts is not None else 224
    found = given or embedded or fallback
    return int(found[0] if isinstance(found, (list, tuple)) else found)


def fixed_side(model: nn.Module) -> int | None:
    """Return the only image side that a model accepts, in pixels; None if its patch embedding does not check it."""
    embed = getattr(model, "patch_embed", None)
    size = getattr(embed, "img_size", None)
    return int(size[0]) if size is not None and getattr(embed, "strict_img_size", False) else None


def check_patches(model: nn.Module, name: str, size: int | None) -> None:
    """Reject a size that is not a multiple of the patch size, because timm would crop the rest.

    Raises:
        UserError: with the two nearest legal sizes.
    """
    embed = getattr(model, "patch_embed", None)
    patch = getattr(embed, "patch_size", None)
    if size is None or not isinstance(patch, tuple) or not hasattr(embed, "strict_img_size"):
        return
    if size % patch[0]:
        below = size - size % patch[0]
        legal = " or ".join(str(side) for side in (below, below + patch[0]) if side)
        raise UserError(
            f"Backbone '{name}' splits the image into patches of {patch[0]} pixels, but the image size {size} is not a "
            f"multiple of the patch size. Use preprocess.size={legal}."
        )


def legal_sizes(create: Callable[[int], nn.Module], name: str, size: int) -> str:
    """Suggest valid sizes near one that does not work.

    Args:
        create: builds the model for a size.
        name: name of the timm model.
        size: the size that does not work.

    Returns:
        Text to append to an error message; empty if none was found.
    """
    facts = timm.get_pretrained_cfg(name)
    own = int(facts.input_size[-1]) if facts is not None else 224
    below = size - size % _STEP
    works = []
    for side in sorted({below, below + _STEP, own} - {0, size}):
        try:
            with torch.device("meta"):
                create(side).eval().forward_features(torch.empty(1, 3, side, side))  # type: ignore[operator]
        except Exception:  # noqa: S112  # timm raises various errors for an unsupported size
            continue
        works.append(side)
    return f" It accepts {' or '.join(map(str, works))}. Use preprocess.size={works[0]}." if works else ""
