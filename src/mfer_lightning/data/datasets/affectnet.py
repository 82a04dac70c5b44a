"""AffectNet for Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.readers.affectnet import read_affectnet
from mfer_lightning.errors import UserError


class AffectNetDataModule(FaceDataModule):
    """AffectNet (Mollahosseini et al., TAC 2017): 287,651 faces to train on and 4,000 to report on, in 8 classes.

    Any of these layouts::

        affectnet/                             affectnet/                              affectnet/
        ├── training.csv                       ├── train_set/                          ├── train/
        ├── validation.csv                     │   ├── images/0.jpg ...               │   ├── 0/ (or neutral/) ...
        └── Manually_Annotated_Images/         │   └── annotations/0_exp.npy ...      │   └── 7/
            └── 1/<hash>.jpg ...               └── val_set/   (or valid_set/)          └── val/
                                                   └── ...                                 └── 0/ ... 7/

    Photos of the csv release are cropped to the face box. Licence: for non-commercial research, on request from its
    authors; images must not be passed on.

    Protocol: ``native``. The official validation part is the test split (there is no public test part); to select on,
    2% of the training part is held out, never tearing a photo's faces apart, and monitored by mean-class accuracy.

    Args:
        root: the dataset's folder.
        classes: 8, or 7 to leave contempt out.
        name: ``affectnet7`` or ``affectnet8``; None: by ``classes``.
        options: as :class:`FaceDataModule`.

    Raises:
        ValueError: where ``classes`` is neither 7 nor 8.
        UserError: where ``name`` and ``classes`` contradict one another.
    """

    def __init__(self, root: str | Path, *, classes: int = 8, name: str | None = None, **options: Any) -> None:
        if classes not in (7, 8):
            raise ValueError(f"Expected argument `classes` to be 7 or 8, but got {classes}.")
        if name not in (None, f"affectnet{classes}"):
            raise UserError(
                f"dataset.classes={classes} contradicts {name}: say dataset=affectnet{classes}, "
                "so that results carry the right name."
            )
        self.classes = classes
        super().__init__(root, name=f"affectnet{classes}", **options)

    def read(self) -> FaceIndex:
        """Read the labels in whichever layout is there."""
        return read_affectnet(self.root, self.classes)
