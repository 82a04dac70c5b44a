"""Faces: indices, readers, protocols, datasets, samplers, augmentation and Lightning datamodules.

Public names are imported when first used, so that readers and protocols cost no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfer_lightning.data.augment import Augment, build_augment
    from mfer_lightning.data.dataset import FaceDataset
    from mfer_lightning.data.images.store import ImageStore
    from mfer_lightning.data.index import FaceIndex
    from mfer_lightning.data.noise import NoiseManifest, flip_labels
    from mfer_lightning.data.protocols import PROTOCOLS, Protocol, get_protocol
    from mfer_lightning.data.samplers import EvalSampler, TrainSampler
    from mfer_lightning.data.splits import Split, Splits, make_splits
    from mfer_lightning.data.targets import Targets, targets_from_votes

_WHERE = {
    "Augment": "augment",
    "EvalSampler": "samplers",
    "FaceDataset": "dataset",
    "FaceIndex": "index",
    "ImageStore": "images.store",
    "NoiseManifest": "noise",
    "PROTOCOLS": "protocols",
    "Protocol": "protocols",
    "Split": "splits",
    "Splits": "splits",
    "Targets": "targets",
    "TrainSampler": "samplers",
    "build_augment": "augment",
    "flip_labels": "noise",
    "get_protocol": "protocols",
    "make_splits": "splits",
    "targets_from_votes": "targets",
}

__all__ = [
    "PROTOCOLS",
    "Augment",
    "EvalSampler",
    "FaceDataset",
    "FaceIndex",
    "ImageStore",
    "NoiseManifest",
    "Protocol",
    "Split",
    "Splits",
    "Targets",
    "TrainSampler",
    "build_augment",
    "flip_labels",
    "get_protocol",
    "make_splits",
    "targets_from_votes",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
