"""Registry of networks by name, and the function that builds them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mfer_lightning.errors import UserError, nearest
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.network import MFER
from mfer_lightning.nn.options import check_options
from mfer_lightning.nn.peers.dan import DAN
from mfer_lightning.nn.peers.ddamfn import DDAMFN
from mfer_lightning.nn.peers.poster2 import POSTER2

#: The default for configurations without a name, such as those of earlier versions.
DEFAULT = "mfer"

NETWORKS: Mapping[str, type[Network]] = MappingProxyType({kind.name: kind for kind in (MFER, DAN, DDAMFN, POSTER2)})


def build_network(config: Mapping[str, Any]) -> Network:
    """Build the network of a configuration.

    Args:
        config: keyword arguments of the network's class, and its ``name`` in :data:`NETWORKS`.

    Raises:
        UserError: for an unknown name or option, or a value that the network rejects.

    Example:
        >>> type(build_network({"name": "dan", "backbone": "resnet10t", "num_classes": 8})).__name__
        'DAN'
    """
    options = dict(config)
    name = options.pop("name", DEFAULT)
    if name not in NETWORKS:
        raise UserError(f"network={name}: {nearest(str(name), NETWORKS)}")
    kind = NETWORKS[name]
    legal = {argument: None for argument in kind.__init__.__annotations__ if argument != "return"}
    check_options("network", name, options, legal)
    return kind(**options)
