"""Datasets: one file each, with the dataset's declaration, how to read its files, and its Lightning datamodule.

To add one, write a subclass of :class:`FaceDataModule` with a class attribute ``info`` and a method ``read``, in this
folder or in a package of your own, and a file in ``conf/dataset`` that names the class.
"""

from mfer_lightning.data.datasets.affectnet import AffectNetDataModule
from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.facs import FacsDataModule
from mfer_lightning.data.datasets.ferplus import FERPlusDataModule
from mfer_lightning.data.datasets.folder import FolderDataModule
from mfer_lightning.data.datasets.rafdb import RAFDBDataModule

__all__ = [
    "AffectNetDataModule",
    "FERPlusDataModule",
    "FaceDataModule",
    "FacsDataModule",
    "FolderDataModule",
    "RAFDBDataModule",
]
