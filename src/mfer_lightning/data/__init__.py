"""Faces: datasets, protocols, splits, images, augmentation, and Lightning datamodules.

Data flow from paths to batches: the datamodule (``datasets/base.py``) reads paths and labels and creates the loaders;
``images/sources.py`` finds the image of a face, ``images/decode.py`` decodes it, and ``images/cache.py`` stores the
pixels; ``dataset.py`` assembles batches, and ``augment/pipeline.py`` augments them.

Names are imported lazily, so that ``from mfer_lightning.data import FaceIndex`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mfer_lightning.lazy_names import lazy_name

if TYPE_CHECKING:
    from mfer_lightning.data.augment.build import build_augment as build_augment
    from mfer_lightning.data.augment.pipeline import Augment as Augment
    from mfer_lightning.data.augment.transforms import RandomLight as RandomLight
    from mfer_lightning.data.augment.transforms import RandomWarp as RandomWarp
    from mfer_lightning.data.dataset import FaceDataset as FaceDataset
    from mfer_lightning.data.dataset import ImageStore as ImageStore
    from mfer_lightning.data.datasets.affectnet import AffectNetDataModule as AffectNetDataModule
    from mfer_lightning.data.datasets.base import FaceDataModule as FaceDataModule
    from mfer_lightning.data.datasets.declaration import DatasetInfo as DatasetInfo
    from mfer_lightning.data.datasets.declaration import Layout as Layout
    from mfer_lightning.data.datasets.facs import FacsDataModule as FacsDataModule
    from mfer_lightning.data.datasets.ferplus import FERPlusDataModule as FERPlusDataModule
    from mfer_lightning.data.datasets.folder import FolderDataModule as FolderDataModule
    from mfer_lightning.data.datasets.rafdb import RAFDBDataModule as RAFDBDataModule
    from mfer_lightning.data.index import FaceIndex as FaceIndex
    from mfer_lightning.data.protocols import Expected as Expected
    from mfer_lightning.data.protocols import Protocol as Protocol
    from mfer_lightning.data.samplers import EvalSampler as EvalSampler
    from mfer_lightning.data.samplers import TrainSampler as TrainSampler
    from mfer_lightning.data.splits import Split as Split
    from mfer_lightning.data.splits import Splits as Splits
    from mfer_lightning.data.splits import make_splits as make_splits
    from mfer_lightning.data.targets import Targets as Targets
    from mfer_lightning.data.targets import targets_from_votes as targets_from_votes
    from mfer_lightning.data.training_set import NoiseManifest as NoiseManifest
    from mfer_lightning.data.training_set import flip_labels as flip_labels

#: Module -> public names that it defines.
_NAMES = {
    "augment.build": ("build_augment",),
    "augment.pipeline": ("Augment",),
    "augment.transforms": ("RandomLight", "RandomWarp"),
    "dataset": ("FaceDataset", "ImageStore"),
    "datasets.affectnet": ("AffectNetDataModule",),
    "datasets.base": ("FaceDataModule",),
    "datasets.declaration": ("DatasetInfo", "Layout"),
    "datasets.facs": ("FacsDataModule",),
    "datasets.ferplus": ("FERPlusDataModule",),
    "datasets.folder": ("FolderDataModule",),
    "datasets.rafdb": ("RAFDBDataModule",),
    "index": ("FaceIndex",),
    "protocols": ("Expected", "Protocol"),
    "samplers": ("EvalSampler", "TrainSampler"),
    "splits": ("Split", "Splits", "make_splits"),
    "targets": ("Targets", "targets_from_votes"),
    "training_set": ("NoiseManifest", "flip_labels"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "AffectNetDataModule",
    "Augment",
    "DatasetInfo",
    "EvalSampler",
    "Expected",
    "FERPlusDataModule",
    "FaceDataModule",
    "FaceDataset",
    "FaceIndex",
    "FacsDataModule",
    "FolderDataModule",
    "ImageStore",
    "Layout",
    "NoiseManifest",
    "Protocol",
    "RAFDBDataModule",
    "RandomLight",
    "RandomWarp",
    "Split",
    "Splits",
    "Targets",
    "TrainSampler",
    "build_augment",
    "flip_labels",
    "make_splits",
    "targets_from_votes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES and name.endswith("DataModule"):  # defined in a file of datasets/ that is not listed here
        datasets = import_module(f"{__name__}.datasets")
        if name in datasets.__all__:
            return getattr(datasets, name)
    return lazy_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
