"""AffectNet: photos found on the web by emotion words, in eight emotions.

Paper: Mollahosseini, Hasani, Mahoor, "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in
the Wild", IEEE Transactions on Affective Computing 2017. The dataset has a training and a validation part; its test
part was never published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.readers.affectnet_csv import IMAGE_FOLDERS, LISTS, CsvRows, read_lists
from mfer_lightning.data.readers.affectnet_npy import read_annotations
from mfer_lightning.data.readers.class_folders import (
    PARTITION_FOLDERS,
    check_one_folder_each,
    class_of,
    find_partitions,
    first_folder,
    has_classes,
    scan_class_folders,
)
from mfer_lightning.data.readers.common import check_images, first_file, missing_dataset
from mfer_lightning.data.readers.layouts import AFFECTNET_CSV, AFFECTNET_NPY, CLASS_FOLDERS
from mfer_lightning.emotions import CLASS_ORDERS, EMOTIONS
from mfer_lightning.errors import UserError

#: What the codes above 7 stand for; such images show no emotion to learn and are dropped.
NO_EMOTION = ("none", "uncertain", "no-face")

#: AffectNet's validation part is what is reported: there is no other, so a folder called test can only be that.
_PARTITIONS = {"train": PARTITION_FOLDERS["train"], "val": PARTITION_FOLDERS["val"] + PARTITION_FOLDERS["test"]}
_NPY_PARTITIONS = {"train": ("train_set",), "val": ("val_set", "valid_set")}
_ONE = "AffectNet has a training and a validation part; its test part was never published. "

_HOW_TO_GET = (
    "AffectNet is given to researchers on request, through the form on the page of Mohammad Mahoor's laboratory at the "
    "University of Denver. Either release will do: the first (photos with training.csv and validation.csv) or that of "
    "2021 (face crops with .npy annotations)."
)


@dataclass
class _Rows:
    """What a layout gives, before classes are chosen."""

    path: list[str] = field(default_factory=list)
    partition: list[str] = field(default_factory=list)
    code: list[int] = field(default_factory=list)


def read_affectnet(root: str | Path, classes: int = 8) -> FaceIndex:
    """Read AffectNet in any of its layouts.

    - csv release: ``training.csv`` and ``validation.csv``, at the root or in ``Manually_Annotated_file_lists``, with
      the photos in ``Manually_Annotated_Images``. Faces come with their boxes, to be cropped by, and with valence and
      arousal as attributes; faces of one photo are one group.
    - npy release: ``train_set`` and ``val_set`` (or ``valid_set``), each with ``images`` and ``annotations``.
    - One folder a class: ``train/0`` to ``train/7`` or by names, and ``val/`` likewise.

    Images without an emotion (codes 8 to 10) or, in the csv release, without a face box are dropped. Either part may
    be absent.

    Args:
        root: the dataset's folder.
        classes: 8, or 7 to drop contempt.

    Returns:
        Faces of the partitions train and val, in the order of the list or sorted by number or name.

    Raises:
        UserError: where nothing is found, a list or an annotation is malformed, a label is out of range, a face is
            listed twice, or images are missing.
        ValueError: where ``classes`` is neither 7 nor 8.
    """
    if classes not in (7, 8):
        raise ValueError(f"Expected argument `classes` to be 7 or 8, but got {classes}.")
    root = Path(root)
    lists = {part: first_file(root, names) for part, names in LISTS.items()}
    present = {part: path for part, path in lists.items() if path is not None}
    if present:
        return _read_csv_release(root, present, classes)
    npy = find_partitions(root, _NPY_PARTITIONS, _ONE)
    if npy:
        return _read_npy_release(root, npy, classes)
    folders = find_partitions(root, _PARTITIONS, _ONE)
    if has_classes(root, folders):
        return _read_folders(root, folders, classes)
    raise missing_dataset(
        "AffectNet",
        root,
        [
            f"training.csv and validation.csv with the photos in {IMAGE_FOLDERS[0]}",
            "train_set and val_set (or valid_set), each with images and annotations",
            "one folder a class, train/0 to train/7 and val/0 to val/7 (numbers or names)",
        ],
        _HOW_TO_GET,
    )


def _read_csv_release(root: Path, lists: Mapping[str, Path], classes: int) -> FaceIndex:
    folder = first_folder(root, IMAGE_FOLDERS)
    if folder is None:
        raise UserError(
            f"{next(iter(lists.values()))} is there, but the photos are not. Looked for the folder "
            f"{' or '.join(IMAGE_FOLDERS)} under {root}. Unpack the manually annotated images there."
        )
    rows = read_lists(lists, folder, classes)
    for partition, path in lists.items():
        listed = [p for p, mine in zip(rows.path, rows.partition, strict=True) if mine == partition]
        check_images(root, list(dict.fromkeys(listed)), path)
    return _index(root, AFFECTNET_CSV, _Rows(rows.path, rows.partition, rows.code), classes, rows)


def _read_npy_release(root: Path, folders: Mapping[str, str], classes: int) -> FaceIndex:
    rows = _Rows()
    for partition, folder in folders.items():
        for path, code in read_annotations(root, folder, len(EMOTIONS) + len(NO_EMOTION)):
            rows.path.append(path)
            rows.partition.append(partition)
            rows.code.append(code)
    return _index(root, AFFECTNET_NPY, rows, classes)


def _read_folders(root: Path, folders: Mapping[str, str], classes: int) -> FaceIndex:
    found = scan_class_folders(root, folders)
    names = {folder.name for folder in found if folder.images}
    if names and all(name.isdecimal() for name in names) and "0" not in {name.lstrip("0") or "0" for name in names}:
        raise UserError(
            f"{root}: the class folders are numbered {', '.join(sorted(names))}, without 0. AffectNet's numbers start "
            "at 0 (neutral), so these mean something else (RAF-DB's start at 1: dataset=rafdb). Read wrongly, every "
            "label would be false: name the folders by their emotions."
        )
    emotions = [class_of(folder, root, EMOTIONS + NO_EMOTION, 0, "AffectNet") for folder in found]
    check_one_folder_each(found, emotions, root)
    rows = _Rows()
    for folder, name in zip(found, emotions, strict=True):
        for image in folder.images:
            rows.path.append(f"{folder.path}/{image}")
            rows.partition.append(folder.partition)
            rows.code.append((EMOTIONS + NO_EMOTION).index(name))
    return _index(root, CLASS_FOLDERS, rows, classes)


def _index(root: Path, layout: str, rows: _Rows, classes: int, table: CsvRows | None = None) -> FaceIndex:
    code = np.array(rows.code, dtype=np.int64)
    keep = np.flatnonzero(code < classes)
    if len(keep) == 0:
        raise UserError(f"AffectNet under {root} ({layout}) holds no image with an emotion. Unpack the dataset anew.")
    path = np.array(rows.path)[keep]
    name = f"affectnet{classes}"
    return FaceIndex(
        dataset=name,
        layout=layout,
        root=root,
        class_names=CLASS_ORDERS[name],
        path=path,
        partition=np.array(rows.partition)[keep],
        label=code[keep],
        group=None if table is None else np.unique(path, return_inverse=True)[1].astype(np.int64),
        box=None if table is None else np.array(table.box, dtype=np.int64)[keep],
        attributes={}
        if table is None
        else {name: np.array(column, dtype=np.float32)[keep] for name, column in table.affect.items()},
    )
