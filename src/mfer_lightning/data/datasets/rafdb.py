"""RAF-DB for Lightning."""

from __future__ import annotations

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.readers.rafdb import read_rafdb


class RAFDBDataModule(FaceDataModule):
    """RAF-DB, basic part (Li et al., CVPR 2017): 12,271 + 3,068 aligned faces of 100 x 100 pixels in 7 classes.

    Any of these layouts::

        raf-db/                                raf-db/                                  raf-db/
        ├── EmoLabel/                          ├── list_patition_label.txt              ├── train/
        │   └── list_patition_label.txt        ├── train/                               │   ├── 1/ (or surprise/) ...
        ├── Image/aligned/                     │   └── train_00001_aligned.jpg ...      │   └── 7/
        │   ├── train_00001_aligned.jpg ...    └── valid/   (or test/)                  └── test/   (or valid/)
        │   └── test_0001_aligned.jpg ...          └── test_0001_aligned.jpg ...            └── 1/ ... 7/
        └── Annotation/manual/   (optional: gender, race, age)

    Licence: for non-commercial research, on request from its authors; images must not be passed on.

    Protocols: ``holdout`` (default; a tenth of train is held out to select on) and ``paper`` (selected on test).
    Arguments as :class:`FaceDataModule`.
    """

    dataset = "rafdb"

    def read(self) -> FaceIndex:
        """Read the labels in whichever layout is there."""
        return read_rafdb(self.root)
