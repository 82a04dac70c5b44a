"""Values that parts of the network had before there were options for them.

A network that was stored, or a configuration that was written, before these options existed does not name them and
means these values. Everything that is composed today names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: Option of the attention -> its value in every network whose description lacks it.
FORMER_ATTENTION: Mapping[str, Any] = MappingProxyType({"norm_eps": 1e-6, "init": "torch"})


def with_former_attention(node: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the attention of a stored network or of a configuration.

    Args:
        node: plain, with ``attention`` as a mapping; any other is left as it is.

    Returns:
        A copy in which the attention names all its options.

    Example:
        >>> with_former_attention({"attention": {"name": "ds", "norm_eps": 1e-5}})
        {'attention': {'name': 'ds', 'norm_eps': 1e-05, 'init': 'torch'}}
    """
    attention = node.get("attention")
    if not isinstance(attention, Mapping) or attention.get("name") == "none":
        return dict(node)
    return {**node, "attention": {**attention, **{k: v for k, v in FORMER_ATTENTION.items() if k not in attention}}}
