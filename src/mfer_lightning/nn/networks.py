"""Registry of networks by name, and the function that builds them.

A network's module is imported when the network is used: DDAMFN and POSTER2 need timm, whose import takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from mfer_lightning.errors import UserError, excerpt, nearest
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.options import check_options

#: The default for configurations without a name, such as those of earlier versions.
DEFAULT = "mfer"

_HOMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "mfer": ("network", "MFER"),
        "dan": ("peers.dan", "DAN"),
        "ddamfn": ("peers.ddamfn", "DDAMFN"),
        "poster2": ("peers.poster2", "POSTER2"),
    }
)


class _Networks(Mapping[str, type[Network]]):
    """Classes of networks by name, imported at their first use."""

    def __getitem__(self, name: str) -> type[Network]:
        module, kind = _HOMES[name]
        found: type[Network] = getattr(import_module(f"mfer_lightning.nn.{module}"), kind)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)


#: Name -> class.
NETWORKS: Mapping[str, type[Network]] = _Networks()


def build_network(config: Mapping[str, Any]) -> Network:
    """Build the network of a configuration.

    Args:
        config: keyword arguments of the network's class, and its ``name`` in :data:`NETWORKS`.

    Raises:
        UserError: if ``config`` is not a mapping; for an unknown name or option, or a value that the network rejects.

    Example:
        >>> type(build_network({"name": "dan", "backbone": "resnet10t", "num_classes": 8})).__name__
        'DAN'
    """
    if not isinstance(config, Mapping):
        raise UserError(f"The network must be a mapping with `name` and options, not {excerpt(config)}.")
    options = dict(config)
    name = options.pop("name", DEFAULT)
    if not isinstance(name, str) or name not in NETWORKS:
        raise UserError(f"network={name}: {nearest(str(name), NETWORKS)}")
    kind = NETWORKS[name]
    legal = {argument: None for argument in kind.__init__.__annotations__ if argument != "return"}
    check_options("network", name, options, legal)
    return kind(**options)
