"""Values that networks used before options for them existed.

Networks and configurations that were stored before these options existed do not contain the options and use these
values. New configurations always contain the options.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: Option of the attention -> its value in every network whose description does not contain it.
FORMER_ATTENTION: Mapping[str, Any] = MappingProxyType({"norm_eps": 1e-6, "init": "torch"})


def with_former_attention(node: Mapping[str, Any]) -> dict[str, Any]:
    """Add the missing attention options to a stored network or configuration.

    Args:
        node: plain mapping. If its ``attention`` is not a mapping, or its name is ``none``, nothing is added.

    Returns:
        A copy in which the attention has all its options.

    Example:
        >>> with_former_attention({"attention": {"name": "ds", "norm_eps": 1e-5}})
        {'attention': {'name': 'ds', 'norm_eps': 1e-05, 'init': 'torch'}}
    """
    attention = node.get("attention")
    if not isinstance(attention, Mapping) or attention.get("name") == "none":
        return dict(node)
    return {**node, "attention": {**attention, **{k: v for k, v in FORMER_ATTENTION.items() if k not in attention}}}
