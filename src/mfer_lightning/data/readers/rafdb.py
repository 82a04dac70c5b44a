"""RAF-DB, the basic part: faces from the internet in seven emotions, labelled by about forty people each.

Paper: Li, Deng, Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild", CVPR 2017. The dataset has a training and a test part and no validation part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.readers.class_folders import (
    PARTITION_FOLDERS,
    check_one_folder_each,
    class_of,
    find_partitions,
    first_folder,
    has_classes,
    listing,
    scan_class_folders,
)
from mfer_lightning.data.readers.common import (
    check_images,
    check_name,
    check_unique,
    files_in,
    first_file,
    malformed,
    missing_dataset,
    read_lines,
)
from mfer_lightning.data.readers.layouts import CLASS_FOLDERS, RAFDB_FLAT, RAFDB_LIST
from mfer_lightning.emotions import CLASS_ORDERS
from mfer_lightning.errors import UserError

CLASSES = CLASS_ORDERS["rafdb"]

#: Where the list of labels is looked for; the first spelling is the dataset's own.
LISTS = tuple(
    f"{folder}{name}"
    for folder in ("EmoLabel/", "")
    for name in ("list_patition_label.txt", "list_partition_label.txt")
)

#: Folder of the aligned faces in the official layout, and of the manual annotations.
ALIGNED = "Image/aligned"
ANNOTATIONS = "Annotation/manual"

#: The codes of the annotations, the last three numbers of each file.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
UNKNOWN = "unknown"

#: RAF-DB has no validation part, so whatever stands beside train is its test part.
_PARTITIONS = {"train": PARTITION_FOLDERS["train"], "test": PARTITION_FOLDERS["test"] + PARTITION_FOLDERS["val"]}
_ONE = "RAF-DB has a training and a test part and no validation part. "

_HOW_TO_GET = (
    "RAF-DB is given to researchers on request, to be made from a university's address to its authors (Deng and Li, "
    "Beijing University of Posts and Telecommunications; the form is on the dataset's page). Unpack the basic part: "
    "the list of labels into EmoLabel, aligned.zip into Image/aligned."
)


def read_rafdb(root: str | Path) -> FaceIndex:
    """Read RAF-DB in any of its layouts.

    - ``EmoLabel/list_patition_label.txt`` (also spelled rightly) with ``Image/aligned/train_00001_aligned.jpg``.
    - The list, there or at the root, with flat folders ``train/train_00001_aligned.jpg`` and
      ``valid/test_0001_aligned.jpg`` (or ``test/``), as MFER's authors lay it out.
    - One folder a class: ``train/1`` to ``train/7`` or by names, and ``test/`` or ``valid/`` likewise.

    Whatever folder it lies in, a face called ``test_...`` belongs to the test part. A part whose images are all absent
    is left out. Where ``Annotation/manual`` is there, gender, race and age are read as attributes.

    Args:
        root: the dataset's folder.

    Returns:
        Faces of the partitions train and test, in the order of the list or sorted by name.

    Raises:
        UserError: where nothing is found, a list is malformed or names a file twice, a label is out of range, or
            images are missing.
    """
    root = Path(root)
    partitions = find_partitions(root, _PARTITIONS, _ONE)
    label_list = first_file(root, LISTS)
    if label_list is not None:
        if first_folder(root, [ALIGNED]):
            return _read_list(root, label_list, RAFDB_LIST, {"train": ALIGNED, "test": ALIGNED})
        if any(listing(root / folder)[1] for folder in partitions.values()):
            return _read_list(root, label_list, RAFDB_FLAT, partitions)
    if has_classes(root, partitions):
        return _read_folders(root, partitions)
    if label_list is not None:
        raise UserError(
            f"{label_list} is there, but the images that it names are not. Looked for the folders {ALIGNED}, or train "
            f"with test (or valid), under {root}. Unpack the aligned images (aligned.zip) into {root / ALIGNED}."
        )
    raise missing_dataset(
        "RAF-DB",
        root,
        [
            f"{LISTS[0]} with {ALIGNED}/train_00001_aligned.jpg",
            "that list with train/train_00001_aligned.jpg and valid/test_0001_aligned.jpg",
            "one folder a class, train/1 to train/7 and test/1 to test/7 (numbers or names)",
        ],
        _HOW_TO_GET,
    )


def _read_list(root: Path, path: Path, layout: str, folders: Mapping[str, str]) -> FaceIndex:
    names: list[str] = []
    lines: list[int] = []
    labels: dict[str, int] = {}
    for line, text in enumerate(read_lines(path), start=1):
        fields = text.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise malformed(path, line, "an image name and a label (such as train_00001.jpg 5)", text.strip()[:80])
        name = check_name(fields[0], path, line)
        if _partition(name) is None or "/" in name:
            raise malformed(path, line, "an image name that begins with train_ or test_", name)
        names.append(name)
        lines.append(line)
        labels[name] = _label(fields[1], path, line)
    check_unique(names, lines, path)

    present = {folder: files_in(root / folder) for folder in folders.values()}
    paths: list[str] = []
    chosen: list[str] = []
    partitions: list[str] = []
    for partition in ("train", "test"):
        folder = folders.get(partition)
        mine = [name for name in names if _partition(name) == partition]
        files = [_file_of(name, present[folder]) for name in mine] if folder is not None else []
        if folder is None or not present[folder].intersection(files):
            continue
        listed = [f"{folder}/{file}" for file in files]
        check_images(root, listed, path)
        paths += listed
        chosen += mine
        partitions += [partition] * len(mine)
    if not paths:
        every = [f"{folders.get(str(_partition(name)), ALIGNED)}/{_file_of(name, set())}" for name in names]
        check_images(root, every, path)  # none of them is there: says so
    return _index(root, layout, paths, partitions, [labels[name] for name in chosen])


def _file_of(name: str, present: set[str]) -> str:
    """Return the file of a listed image: aligned, as published, or under the very name of the list."""
    path = PurePosixPath(name)
    aligned = name if path.stem.endswith("_aligned") else f"{path.stem}_aligned{path.suffix}"
    return name if name in present and aligned not in present else aligned


def _partition(name: str) -> str | None:
    """Return the part that an official file name says the face belongs to."""
    return next((part for part in ("train", "test") if name.startswith(f"{part}_")), None)


def _label(text: str, path: Path, line: int) -> int:
    if not text.isdecimal():
        raise malformed(path, line, "a label from 1 to 7", text)
    if not 1 <= int(text) <= len(CLASSES):
        legal = ", ".join(f"{k} {name}" for k, name in enumerate(CLASSES, start=1))
        raise UserError(
            f"{path}, line {line}: the label {text} is out of range. RAF-DB's labels are {legal}. "
            "Another numbering would train on the wrong emotions: fetch the list anew."
        )
    return int(text) - 1


def _read_folders(root: Path, folders: Mapping[str, str]) -> FaceIndex:
    found = scan_class_folders(root, folders)
    classes = [class_of(folder, root, CLASSES, 1, "RAF-DB") for folder in found]
    check_one_folder_each(found, classes, root)
    paths: list[str] = []
    partitions: list[str] = []
    labels: list[int] = []
    where: dict[str, str] = {}
    for folder, name in zip(found, classes, strict=True):
        for image in folder.images:
            path = f"{folder.path}/{image}"
            official = _partition(image)
            if official is not None and official != folder.partition:
                raise UserError(
                    f"{root / path} lies with the {folder.partition} images, but by its name it is one of RAF-DB's "
                    f"{official} images. Put it back, or read the tree as it is with dataset=folder: "
                    "figures on other parts than the official ones compare with nothing."
                )
            if official is not None and where.setdefault(image, path) != path:
                raise UserError(
                    f"{root}: {image} lies in two class folders, {where[image]} and {path}. "
                    "Which label is meant cannot be told: leave one of them."
                )
            paths.append(path)
            partitions.append(folder.partition)
            labels.append(CLASSES.index(name))
    return _index(root, CLASS_FOLDERS, paths, partitions, labels)


def _index(root: Path, layout: str, paths: list[str], partitions: list[str], labels: list[int]) -> FaceIndex:
    if not paths:
        raise UserError(f"RAF-DB under {root} ({layout}) holds no image at all. Unpack the images anew.")
    return FaceIndex(
        dataset="rafdb",
        layout=layout,
        root=root,
        class_names=CLASSES,
        path=np.array(paths),
        partition=np.array(partitions),
        label=np.array(labels, dtype=np.int64),
        attributes=_attributes(root, paths),
    )


def _attributes(root: Path, paths: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read gender, race and age of each face, ``"unknown"`` where a face has no annotation; empty without any."""
    annotated = files_in(root / ANNOTATIONS)
    rows: list[tuple[str, ...]] = []
    for path in paths:
        file = f"{PurePosixPath(path).stem.removesuffix('_aligned')}_manu_attri.txt"
        rows.append(_annotation(root / ANNOTATIONS / file) if file in annotated else (UNKNOWN,) * len(ATTRIBUTES))
    if all(row == (UNKNOWN,) * len(ATTRIBUTES) for row in rows):
        return {}
    return {name: np.array([row[i] for row in rows]) for i, name in enumerate(ATTRIBUTES)}


def _annotation(path: Path) -> tuple[str, ...]:
    """Read one file: five landmarks as x and y, and then the codes of gender, race and age."""
    numbers = " ".join(read_lines(path)).split()
    codes = numbers[-len(ATTRIBUTES) :]
    legal = len(numbers) == 10 + len(ATTRIBUTES) and all(
        code.isdecimal() and int(code) < len(names) for code, names in zip(codes, ATTRIBUTES.values(), strict=True)
    )
    if not legal:
        raise UserError(
            f"{path}: expected five landmarks (x and y) and the codes of gender (0 to 2), race (0 to 2) and age "
            f"(0 to 4), but got {' '.join(numbers)[:120]!r}. Fetch the file anew, or remove it: the face then counts "
            "as unknown."
        )
    return tuple(names[int(code)] for code, names in zip(codes, ATTRIBUTES.values(), strict=True))
