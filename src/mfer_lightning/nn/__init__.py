"""Networks in plain torch: attention, backbones, heads, preprocessing, weights."""

from __future__ import annotations

from mfer_lightning.nn.adapter import add_adapter
from mfer_lightning.nn.attention import ATTENTIONS, ConvControl, DSAttention
from mfer_lightning.nn.backbones import Backbone
from mfer_lightning.nn.base import Network, Output
from mfer_lightning.nn.head import HEADS, LinearHead, MultiscaleHead
from mfer_lightning.nn.network import MFER
from mfer_lightning.nn.networks import NETWORKS, build_network
from mfer_lightning.nn.peers.dan import DAN
from mfer_lightning.nn.peers.ddamfn import DDAMFN
from mfer_lightning.nn.peers.poster2 import POSTER2
from mfer_lightning.nn.preprocess import NORMALISATIONS, Preprocess
from mfer_lightning.nn.weights.load import LoadReport, load_released_weights, load_weights

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
