"""Anybody's faces for Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.protocols import Protocol, get_protocol
from mfer_lightning.data.readers.folder import read_folder


class FolderDataModule(FaceDataModule):
    """Faces in one folder a class, or in a csv table; classes are named by the folders or labels.

    Any of these layouts::

        folder/                    folder/                folder/
        ├── train/                 ├── happiness/         ├── labels.csv   (path,label[,split])
        │   ├── happiness/ ...     │   └── 1.jpg ...     └── images/
        │   └── anger/ ...         └── anger/ ...             └── 1.jpg ...
        ├── val/ ...
        └── test/ ...

    Known emotions come first, in the order of :data:`~mfer_lightning.emotions.EMOTIONS`, in any common spelling (a
    folder ``Happy`` is happiness); classes of your own follow alphabetically.

    Protocols: ``native`` (select on your val images), ``holdout`` (a tenth of train is held out to select on) and
    ``auto``: native where there are val images, else holdout.

    Args:
        root: the folder, or the csv itself.
        protocol: ``auto``, ``native`` or ``holdout``; None: ``auto``.
        options: as :class:`FaceDataModule`.
    """

    dataset = "folder"

    def __init__(self, root: str | Path, *, protocol: str | None = "auto", **options: Any) -> None:
        self.chooses = protocol in (None, "auto")
        super().__init__(root, protocol=None if self.chooses else protocol, **options)

    def read(self) -> FaceIndex:
        """Read whichever layout is there."""
        return read_folder(self.root)

    def choose_protocol(self, index: FaceIndex) -> Protocol:
        """Return the protocol named, or the one that suits the partitions that are there."""
        if not self.chooses:
            return self.protocol
        return get_protocol("folder", "native" if bool((index.partition == "val").any()) else "holdout")
