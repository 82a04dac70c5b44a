"""Lightning datamodules, one a dataset; imported when first named."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfer_lightning.data.datasets.affectnet import AffectNetDataModule
    from mfer_lightning.data.datasets.base import FaceDataModule
    from mfer_lightning.data.datasets.facs import FacsDataModule
    from mfer_lightning.data.datasets.ferplus import FERPlusDataModule
    from mfer_lightning.data.datasets.folder import FolderDataModule
    from mfer_lightning.data.datasets.rafdb import RAFDBDataModule

_WHERE = {
    "AffectNetDataModule": "affectnet",
    "FERPlusDataModule": "ferplus",
    "FaceDataModule": "base",
    "FacsDataModule": "facs",
    "FolderDataModule": "folder",
    "RAFDBDataModule": "rafdb",
}

__all__ = [
    "AffectNetDataModule",
    "FERPlusDataModule",
    "FaceDataModule",
    "FacsDataModule",
    "FolderDataModule",
    "RAFDBDataModule",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
