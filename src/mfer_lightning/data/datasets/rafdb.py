"""RAF-DB, basic subset: web faces with seven emotions, labelled by about forty people each.

Paper: Li, Deng, Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild", CVPR 2017. 12,271 training and 3,068 test faces of 100 x 100 pixels, aligned by the authors; there is no
validation set. Licence: non-commercial research, on request from the authors; images must not be redistributed.

Classes, with the numbers of the label file (class indices are one lower): 1 surprise, 2 fear, 3 disgust, 4 happiness,
5 sadness, 6 anger, 7 neutral.

Any of these layouts::

    raf-db/                                raf-db/                                  raf-db/
    ├── EmoLabel/                          ├── list_patition_label.txt              ├── train/
    │   └── list_patition_label.txt        ├── train/                               │   ├── 1/ (or surprise/) ...
    ├── Image/aligned/                     │   └── train_00001_aligned.jpg ...      │   └── 7/
    │   ├── train_00001_aligned.jpg ...    └── valid/   (or test/)                  └── test/   (or valid/)
    │   └── test_0001_aligned.jpg ...          └── test_0001_aligned.jpg ...            └── 1/ ... 7/
    └── Annotation/manual/   (optional: gender, race, age)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.class_folders import (
    PARTITION_FOLDERS,
    class_of,
    find_partitions,
    has_classes,
    left_out,
    scan_class_folders,
)
from mfer_lightning.data.labels.image_files import files_in, first_file, first_folder, listing
from mfer_lightning.data.labels.partition_list import LIST_NAMES, part_in_name, read_partition_list
from mfer_lightning.data.labels.table_head import read_lines
from mfer_lightning.data.protocols import BEST_ON_TEST, Expected, Protocol
from mfer_lightning.errors import UserError

#: The position is the class index; the numbers in the label files are one higher.
CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")

#: Folder of the aligned faces in the official layout, and folder of the manual annotations.
ALIGNED = "Image/aligned"
ANNOTATIONS = "Annotation/manual"

#: Possible locations of the label list.
LISTS = tuple(f"{folder}{name}" for folder in ("EmoLabel/", "") for name in LIST_NAMES)

#: Meaning of the annotation codes, which are the last three numbers of each file.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
UNKNOWN = ("unknown",) * len(ATTRIBUTES)

WITH_LIST = Layout("list file with Image/aligned", f"{LISTS[0]} with {ALIGNED}/train_00001_aligned.jpg")
FLAT = Layout(
    "list file with train/ and valid/ folders",
    "that list with train/train_00001_aligned.jpg and valid/test_0001_aligned.jpg",
)
CLASS_FOLDERS = Layout(
    "class folders", "one folder per class, train/1 to train/7 and test/1 to test/7 (numbers or names)"
)

#: There is no validation set, so a folder next to train is the test set.
_PARTITIONS = {"train": PARTITION_FOLDERS["train"], "test": PARTITION_FOLDERS["test"] + PARTITION_FOLDERS["val"]}
_COUNTS = (
    Expected("train", "label", (1290, 281, 717, 4772, 1982, 705, 2524)),
    Expected("test", "label", (329, 74, 160, 1185, 478, 162, 680)),
)

INFO = DatasetInfo(
    name="rafdb",
    title="RAF-DB",
    paper=(
        "Li, Deng, Du: Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the "
        "Wild, CVPR 2017"
    ),
    licence="RAF-DB is for non-commercial research only, on request from its authors; images must not be passed on.",
    access=(
        "RAF-DB is available to researchers on request, sent from a university address to its authors (Deng and "
        "Li, Beijing University of Posts and Telecommunications; the form is on the dataset's page). Unpack the basic "
        "subset: the list of labels into EmoLabel, aligned.zip into Image/aligned."
    ),
    class_names=CLASSES,
    first_number=1,
    file_names=r"(train_\d{5}|test_\d{4})(_aligned)?\.\w+",
    size=100,
    alignment="by the authors, from five landmarks: 100 x 100 pixels",
    layouts=(WITH_LIST, FLAT, CLASS_FOLDERS),
    marks=("EmoLabel", *LIST_NAMES),
    protocols=(
        Protocol("rafdb@holdout", CLASSES, expected=_COUNTS),
        Protocol("rafdb@paper", CLASSES, BEST_ON_TEST, val="test", expected=_COUNTS),
    ),
)


class RAFDBDataModule(FaceDataModule):
    """RAF-DB for Lightning; layouts and licence: :mod:`mfer_lightning.data.datasets.rafdb`.

    Protocols: ``holdout`` (default; a tenth of train is held out for selection) and ``paper`` (selected on test).
    Arguments as for :class:`FaceDataModule`.
    """

    info = INFO

    def read(self) -> FaceIndex:
        """Read the labels in any of the layouts."""
        return read_rafdb(self.root)


def read_rafdb(root: str | Path) -> FaceIndex:
    """Read RAF-DB in any of its layouts.

    The list may be in ``EmoLabel`` or at the root, and its name may be misspelled as published or spelled correctly. In
    layouts with a list, the name of a face gives its set (``train_...`` or ``test_...``), and only the folder of that
    set is searched for its image. A set without any images is left out. If ``Annotation/manual`` exists, gender, race
    and age are read as attributes.

    Args:
        root: the dataset's folder.

    Returns:
        Faces of the partitions train and test, in list order or sorted by name.

    Raises:
        UserError: if nothing is found, a list is malformed or lists a file twice, a label is out of range, or
            images are missing.
    """
    root = Path(root)
    partitions = find_partitions(root, _PARTITIONS, "RAF-DB has a training and a test set and no validation set. ")
    label_list = first_file(root, LISTS)
    if label_list is not None:
        if first_folder(root, [ALIGNED]):
            return _read_list(root, label_list, WITH_LIST, {"train": ALIGNED, "test": ALIGNED})
        if any(listing(root / folder)[1] for folder in partitions.values()):
            return _read_list(root, label_list, FLAT, partitions)
    if has_classes(root, partitions):
        return _read_folders(root, partitions)
    if label_list is not None:
        raise UserError(
            f"{label_list} exists, but the images that it lists do not. Looked for the folders {ALIGNED}, or train "
            f"with test (or valid), under {root}. Unpack the aligned images (aligned.zip) into {root / ALIGNED}."
        )
    raise missing_dataset(INFO, root)


def _read_list(root: Path, path: Path, layout: Layout, folders: Mapping[str, str]) -> FaceIndex:
    rows, notes = read_partition_list(root, path, folders, CLASSES, INFO.title)
    return _index(root, layout, rows, notes)


def _read_folders(root: Path, partitions: Mapping[str, str]) -> FaceIndex:
    meaning = partial(class_of, root=root, names=CLASSES, first=1, title=INFO.title)
    folders = scan_class_folders(root, partitions, meaning)
    rows = [row for folder in folders for row in folder.rows(CLASSES)]
    where: dict[str, str] = {}
    for path, partition, _ in rows:
        image = path.rpartition("/")[2]
        official = part_in_name(image)
        if official is not None and official != partition:
            raise UserError(
                f"{root / path} is among the {partition} images, but by its name it is one of RAF-DB's "
                f"{official} images. Put it back, or read the folders unchanged with dataset=folder: "
                "results on a different split are not comparable."
            )
        if official is not None and where.setdefault(image, path) != path:
            raise UserError(
                f"{root}: {image} is in two class folders, {where[image]} and {path}, "
                "so its label is ambiguous. Keep one of the two."
            )
    return _index(root, CLASS_FOLDERS, rows, left_out(folders))


def _index(root: Path, layout: Layout, rows: Sequence[tuple[str, str, int]], notes: tuple[str, ...]) -> FaceIndex:
    if not rows:
        raise UserError(f"RAF-DB under {root} ({layout.name}) contains no images. Unpack the images again.")
    return FaceIndex.from_rows(
        rows,
        dataset=INFO.name,
        layout=layout.name,
        root=root,
        class_names=CLASSES,
        attributes=_attributes(root, [path for path, _, _ in rows]),
        notes=notes,
    )


def _attributes(root: Path, paths: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read gender, race and age of each face, ``"unknown"`` if a face has no annotation; empty without annotations."""
    annotated = files_in(root / ANNOTATIONS)
    rows: list[tuple[str, ...]] = []
    for path in paths:
        file = f"{PurePosixPath(path).stem.removesuffix('_aligned')}_manu_attri.txt"
        rows.append(_annotation(root / ANNOTATIONS / file) if file in annotated else UNKNOWN)
    if all(row == UNKNOWN for row in rows):
        return {}
    return {name: np.array([row[i] for row in rows]) for i, name in enumerate(ATTRIBUTES)}


def _annotation(path: Path) -> tuple[str, ...]:
    """Read one file: five landmarks as x and y, followed by the codes of gender, race and age."""
    numbers = " ".join(read_lines(path)).split()
    codes = numbers[-len(ATTRIBUTES) :]
    legal = len(numbers) == 10 + len(ATTRIBUTES) and all(
        code.isdecimal() and int(code) < len(names) for code, names in zip(codes, ATTRIBUTES.values(), strict=True)
    )
    if not legal:
        raise UserError(
            f"{path}: expected five landmarks (x and y) and the codes of gender (0 to 2), race (0 to 2) and age "
            f"(0 to 4), but got {' '.join(numbers)[:120]!r}. Download the file again, or remove it: without it, the "
            "attributes of the face are unknown."
        )
    return tuple(names[int(code)] for code, names in zip(codes, ATTRIBUTES.values(), strict=True))
