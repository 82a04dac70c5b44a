"""AffectNet: web photos found by emotion keywords, with eight emotions.

Paper: Mollahosseini, Hasani, Mahoor, "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in
the Wild", IEEE Transactions on Affective Computing 2017. 287,651 training faces and a validation set of 4,000; the
test set was never published, so papers report on the validation set. Licence: non-commercial research, on request
from the authors; images must not be redistributed.

Classes: 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt. Faces with the codes 8
to 10 (none, uncertain, no face) are dropped.

Any of these layouts::

    affectnet/                             affectnet/                              affectnet/
    ├── training.csv                       ├── train_set/                          ├── train/
    ├── validation.csv                     │   ├── images/0.jpg ...               │   ├── 0/ (or neutral/) ...
    └── Manually_Annotated_Images/         │   └── annotations/0_exp.npy ...      │   └── 7/
        └── 1/<hash>.jpg ...               └── val_set/   (or valid_set/)          └── val/
                                               └── ...                                 └── 0/ ... 7/

The layouts, codes and counts by class were verified against public dataset readers and papers, not against the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.affectnet_csv import IMAGE_FOLDERS, LISTS, read_lists
from mfer_lightning.data.labels.affectnet_npy import read_annotations
from mfer_lightning.data.labels.class_folders import (
    PARTITION_FOLDERS,
    class_of,
    find_partitions,
    has_classes,
    left_out,
    scan_class_folders,
)
from mfer_lightning.data.labels.image_files import first_file, first_folder
from mfer_lightning.data.protocols import Expected, Protocol
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.errors import UserError

#: All annotation codes; the last three mark images without an emotion.
CODES = (*EMOTIONS, "none", "uncertain", "no-face")

CSV = Layout("csv release with face boxes", f"training.csv and validation.csv with the photos in {IMAGE_FOLDERS[0]}")
NPY = Layout("npy release", "train_set and val_set (or valid_set), each with images and annotations")
CLASS_FOLDERS = Layout(
    "class folders", "one folder per class, train/0 to train/7 and val/0 to val/7 (numbers or names)"
)

#: Papers report on the validation set. A folder called test can only be this set, because no test set was published.
_PARTITIONS = {"train": PARTITION_FOLDERS["train"], "val": PARTITION_FOLDERS["val"] + PARTITION_FOLDERS["test"]}
_NPY_PARTITIONS = {"train": ("train_set",), "val": ("val_set", "valid_set")}
_ONE = "AffectNet has a training and a validation set; its test set was never published. "
_TRAIN_COUNTS = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)

_PROTOCOL = Protocol(
    name="affectnet8@native",
    class_names=EMOTIONS,
    monitor="mean_class_accuracy",
    test="val",
    holdout_fraction=0.02,
    expected=(
        Expected("train", "label", _TRAIN_COUNTS),
        Expected("val", "label", 4000, CSV.name),
        Expected("val", "label", 3999, NPY.name),
    ),
)

AFFECTNET8 = DatasetInfo(
    name="affectnet8",
    title="AffectNet",
    paper=(
        "Mollahosseini, Hasani, Mahoor: AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in "
        "the Wild, IEEE Transactions on Affective Computing 2017"
    ),
    licence="AffectNet is for non-commercial research only, on request from its authors; images must not be passed on.",
    access=(
        "AffectNet is available to researchers on request, through the form on the page of Mohammad Mahoor's "
        "laboratory at the University of Denver. Both releases are supported: the first (photos with training.csv and "
        "validation.csv) and that of 2021 (face crops with .npy annotations)."
    ),
    class_names=EMOTIONS,
    file_names=r"[0-9a-f]{56}\.\w+",
    alignment="none: cropped to the face box; the release of 2021 contains these crops at 224 x 224 pixels",
    layouts=(CSV, NPY, CLASS_FOLDERS),
    marks=("train_set", "val_set", "valid_set", "Manually_Annotated_Images"),
    protocols=(_PROTOCOL,),
    shares_faces_with=("affectnet7",),
)

#: AffectNet without contempt. Its folder looks the same, so it has no marks or file names of its own.
AFFECTNET7 = replace(
    AFFECTNET8,
    name="affectnet7",
    class_names=EMOTIONS[:7],
    marks=(),
    file_names="",
    protocols=(
        replace(
            _PROTOCOL,
            name="affectnet7@native",
            class_names=EMOTIONS[:7],
            expected=(Expected("train", "label", _TRAIN_COUNTS[:7]), Expected("val", "label", (500,) * 7)),
        ),
    ),
    shares_faces_with=("affectnet8",),
)


class AffectNetDataModule(FaceDataModule):
    """AffectNet for Lightning; layouts and licence: :mod:`mfer_lightning.data.datasets.affectnet`.

    Photos of the csv release are cropped to the face box. Protocol: ``native``. The official validation set is the
    test split (there is no public test set). For model selection, 2% of the training set is held out, keeping all
    faces of a photo together; the selection metric is mean-class accuracy.

    Args:
        root: the dataset's folder.
        classes: 8, or 7 to leave contempt out.
        name: ``affectnet7`` or ``affectnet8``; None: according to ``classes``.
        options: arguments of :class:`FaceDataModule`.

    Raises:
        ValueError: if ``classes`` is neither 7 nor 8.
        UserError: if ``name`` and ``classes`` contradict each other.
    """

    info = (AFFECTNET8, AFFECTNET7)

    def __init__(self, root: str | Path, *, classes: int = 8, name: str | None = None, **options: Any) -> None:
        if classes not in (7, 8):
            raise ValueError(f"Expected argument `classes` to be 7 or 8, but got {classes}.")
        if name not in (None, f"affectnet{classes}"):
            raise UserError(
                f"dataset.classes={classes} contradicts {name}: use dataset=affectnet{classes}, "
                "so that results have the correct name."
            )
        self.classes = classes
        super().__init__(root, name=f"affectnet{classes}", **options)

    def read(self) -> FaceIndex:
        """Read the labels in any of the layouts."""
        return read_affectnet(self.root, self.classes)


def read_affectnet(root: str | Path, classes: int = 8) -> FaceIndex:
    """Read AffectNet in any of its layouts.

    The lists of the csv release may also be in ``Manually_Annotated_file_lists``. Its faces have boxes for cropping,
    and the faces of one photo form a group. Valence and arousal are attributes in both releases. Images without an
    emotion (codes 8 to 10) or, in the csv release, without a face box are dropped. Either set may be absent.

    Args:
        root: the dataset's folder.
        classes: 8, or 7 to drop contempt.

    Returns:
        Faces of the partitions train and val, in list order or sorted by number or name.

    Raises:
        UserError: if nothing is found, a list or an annotation is malformed, a label is out of range, a face is
            listed twice, or images are missing.
        ValueError: if ``classes`` is neither 7 nor 8.
    """
    if classes not in (7, 8):
        raise ValueError(f"Expected argument `classes` to be 7 or 8, but got {classes}.")
    root = Path(root)
    lists = {part: path for part, names in LISTS.items() if (path := first_file(root, names)) is not None}
    if lists:
        return _read_csv_release(root, lists, classes)
    npy = find_partitions(root, _NPY_PARTITIONS, _ONE)
    if npy:
        annotations = {part: read_annotations(root, folder, len(CODES)) for part, folder in npy.items()}
        faces = [(path, part, code, affect) for part, found in annotations.items() for path, code, affect in found]
        faces = [face for face in faces if face[2] < classes]
        affect = np.array([face[3] for face in faces], dtype=np.float32).reshape(-1, 2)
        rated = {} if np.isnan(affect).all() else {"valence": affect[:, 0], "arousal": affect[:, 1]}
        return _index(root, NPY, [face[:3] for face in faces], classes, attributes=rated)
    folders = find_partitions(root, _PARTITIONS, _ONE)
    if has_classes(root, folders):
        return _read_folders(root, folders, classes)
    raise missing_dataset(AFFECTNET8, root)


def _read_csv_release(root: Path, lists: Mapping[str, Path], classes: int) -> FaceIndex:
    folder = first_folder(root, IMAGE_FOLDERS)
    if folder is None:
        raise UserError(
            f"{next(iter(lists.values()))} exists, but the photos do not. Looked for the folder "
            f"{' or '.join(IMAGE_FOLDERS)} under {root}. Unpack the manually annotated images there."
        )
    faces = read_lists(lists, root, folder, classes)
    photos = [photo for photo, _, _ in faces.rows]
    return _index(
        root,
        CSV,
        faces.rows,
        classes,
        group=np.unique(photos, return_inverse=True)[1].astype(np.int64),
        box=np.array(faces.box, dtype=np.int64),
        attributes={name: np.array(column, dtype=np.float32) for name, column in faces.affect.items()},
        notes=tuple(faces.notes),
    )


def _read_folders(root: Path, partitions: Mapping[str, str], classes: int) -> FaceIndex:
    meaning = partial(class_of, root=root, names=CODES, first=0, title=AFFECTNET8.title)
    found = scan_class_folders(root, partitions, meaning)
    names = {folder.name for folder in found if folder.images}
    if names and all(name.isdecimal() and int(name) > 0 for name in names):
        raise UserError(
            f"{root}: the class folders are numbered {', '.join(sorted(names))}, without 0. AffectNet's numbers start "
            "at 0 (neutral), so these numbers have another meaning (RAF-DB's start at 1: dataset=rafdb), and all "
            "labels would be wrong. Name the folders after their emotions."
        )
    rows = [row for folder in found for row in folder.rows(CODES)]
    return _index(root, CLASS_FOLDERS, rows, classes, notes=left_out(found))


def _index(root: Path, layout: Layout, rows: Sequence[tuple[str, str, int]], classes: int, **columns: Any) -> FaceIndex:
    kept = [row for row in rows if row[2] < classes]
    if not kept:
        raise UserError(
            f"AffectNet under {root} ({layout.name}) contains no image with an emotion. Unpack the dataset again."
        )
    info = AFFECTNET8 if classes == 8 else AFFECTNET7
    return FaceIndex.from_rows(
        kept, dataset=info.name, layout=layout.name, root=root, class_names=info.class_names, **columns
    )
