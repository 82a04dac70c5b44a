"""Networks in plain torch: attention, backbones, heads, preprocessing, weights.

Names are imported lazily, so that ``from mfer_lightning.nn import Preprocess`` does not import timm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfer_lightning.lazy_names import lazy_name

if TYPE_CHECKING:
    from mfer_lightning.nn.adapter import add_adapter as add_adapter
    from mfer_lightning.nn.attention import ATTENTIONS as ATTENTIONS
    from mfer_lightning.nn.attention import ConvControl as ConvControl
    from mfer_lightning.nn.attention import DSAttention as DSAttention
    from mfer_lightning.nn.backbones import Backbone as Backbone
    from mfer_lightning.nn.base import Network as Network
    from mfer_lightning.nn.base import Output as Output
    from mfer_lightning.nn.head import HEADS as HEADS
    from mfer_lightning.nn.head import LinearHead as LinearHead
    from mfer_lightning.nn.head import MultiscaleHead as MultiscaleHead
    from mfer_lightning.nn.network import MFER as MFER
    from mfer_lightning.nn.networks import NETWORKS as NETWORKS
    from mfer_lightning.nn.networks import build_network as build_network
    from mfer_lightning.nn.peers.dan import DAN as DAN
    from mfer_lightning.nn.peers.ddamfn import DDAMFN as DDAMFN
    from mfer_lightning.nn.peers.poster2 import POSTER2 as POSTER2
    from mfer_lightning.nn.preprocess import NORMALISATIONS as NORMALISATIONS
    from mfer_lightning.nn.preprocess import Preprocess as Preprocess
    from mfer_lightning.nn.weights.load import LoadReport as LoadReport
    from mfer_lightning.nn.weights.load import load_released_weights as load_released_weights
    from mfer_lightning.nn.weights.load import load_weights as load_weights

#: Module -> public names that it defines.
_NAMES = {
    "adapter": ("add_adapter",),
    "attention": ("ATTENTIONS", "ConvControl", "DSAttention"),
    "backbones": ("Backbone",),
    "base": ("Network", "Output"),
    "head": ("HEADS", "LinearHead", "MultiscaleHead"),
    "network": ("MFER",),
    "networks": ("NETWORKS", "build_network"),
    "peers.dan": ("DAN",),
    "peers.ddamfn": ("DDAMFN",),
    "peers.poster2": ("POSTER2",),
    "preprocess": ("NORMALISATIONS", "Preprocess"),
    "weights.load": ("LoadReport", "load_released_weights", "load_weights"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "ATTENTIONS",
    "DAN",
    "DDAMFN",
    "HEADS",
    "MFER",
    "NETWORKS",
    "NORMALISATIONS",
    "POSTER2",
    "Backbone",
    "ConvControl",
    "DSAttention",
    "LinearHead",
    "LoadReport",
    "MultiscaleHead",
    "Network",
    "Output",
    "Preprocess",
    "add_adapter",
    "build_network",
    "load_released_weights",
    "load_weights",
]


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
