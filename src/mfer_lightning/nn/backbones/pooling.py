"""Pool the tokens of a transformer to one feature, with timm's names ``avg``, ``token`` and ``map``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor

from mfer_lightning.errors import UserError

#: Mean over the positions, class token, or the model's own attention pooling.
POOLS = ("avg", "token", "map")

#: Alias -> name in :data:`POOLS`.
POOL_WORDS: Mapping[str, str] = MappingProxyType({"mean": "avg", "cls": "token"})


def pool_tokens(way: str, model: Any, tokens: Tensor, prefix: int) -> Tensor:
    """Pool tokens (B,prefix+N,C) to (B,C).

    Args:
        way: one of :data:`POOLS`.
        model: the timm model, which provides the attention pooling.
        tokens: the final tokens of the model.
        prefix: number of tokens without a position in the image.
    """
    if way == "token":
        return tokens[:, 0]
    if way == "map":
        return model.pool(tokens)  # type: ignore[no-any-return]
    return tokens[:, prefix:].mean(1)


def check_pool(way: str, model: Any, name: str) -> None:
    """Reject a pooling method that a model does not support.

    Args:
        way: one of :data:`POOLS`.
        model: the timm model.
        name: its name, for error messages.

    Raises:
        UserError: if the model has no class token, or no attention pooling.
    """
    if way == "token" and getattr(model, "cls_token", None) is None:
        raise UserError(f"Backbone '{name}' has no class token. Use backbone.pool=avg, the mean over the positions.")
    if way == "map" and getattr(model, "attn_pool", None) is None:
        raise UserError(
            f"Backbone '{name}' has no attention pooling. Use backbone.pool=avg, or a model that has it "
            "(vit_base_patch16_siglip_224, ...)."
        )
