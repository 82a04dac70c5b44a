"""FERPlus: the FER2013 faces with ten annotators' votes each.

Paper: Barsoum, Zhang, Canton Ferrer, Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", ICMI 2016. Labels: microsoft/FERPlus (MIT). Faces: Goodfellow et al., ICML 2013
workshop.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.readers.common import (
    check_images,
    check_name,
    check_unique,
    malformed,
    missing_dataset,
    read_csv,
)
from mfer_lightning.data.readers.layouts import FERPLUS_FOLDERS, FERPLUS_PAIR
from mfer_lightning.emotions import CLASS_ORDERS
from mfer_lightning.errors import UserError

#: The vote columns: the eight classes, "unknown", and NF ("not a face").
VOTE_NAMES = (*CLASS_ORDERS["ferplus"], "unknown", "NF")

#: Folder of each partition, and the name of its usage in the csv pair.
FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}

#: Attribute column of a csv pair: which data row of fer2013.csv (the first is 0) holds the face's pixels.
PIXEL_ROW = "pixel_row"

_HOW_TO_GET = (
    "the vote lists (label.csv in three folders, and fer2013new.csv) are in Microsoft's public FERPlus repository on "
    "GitHub; the faces are fer2013.csv of the Kaggle challenge 'Challenges in Representation Learning: Facial "
    "Expression Recognition Challenge'. FERPlus's own script writes them as PNG files into the folders; "
    "fer2013.csv beside fer2013new.csv will do as well."
)


def read_ferplus(root: str | Path) -> FaceIndex:
    """Read FERPlus in either of its layouts.

    - PNG folders: ``FER2013Train``, ``FER2013Valid``, ``FER2013Test``, each with ``label.csv`` and its images. Any of
      the three may be absent. Preferred where both layouts are there.
    - csv pair: ``fer2013.csv`` (emotion, pixels, Usage) with ``fer2013new.csv`` (Usage, image name, votes), joined row
      by row.

    The two carry label sets that disagree on 1,602 images: ``layout`` says which was read.

    Args:
        root: the dataset's folder.

    Returns:
        Faces with votes (the ten of :data:`VOTE_NAMES`) and label -1. Rows without an image name are dropped.

    Raises:
        UserError: where nothing is found, a list is malformed or names a file twice, or images are missing.
    """
    root = Path(root)
    lists = {part: root / folder / "label.csv" for part, folder in FOLDERS.items()}
    present = {part: path for part, path in lists.items() if path.is_file()}
    if present:
        return _read_folders(root, present)
    pair = root / "fer2013.csv", root / "fer2013new.csv"
    if all(path.is_file() for path in pair):
        return _read_pair(root, *pair)
    raise missing_dataset(
        "FERPlus",
        root,
        ["the folders FER2013Train, FER2013Valid, FER2013Test, each with label.csv", "fer2013.csv with fer2013new.csv"],
        _HOW_TO_GET,
    )


def _read_folders(root: Path, lists: dict[str, Path]) -> FaceIndex:
    paths: list[str] = []
    partitions: list[str] = []
    votes: list[list[int]] = []
    for partition, path in lists.items():
        names, lines = [], []
        for line, fields in read_csv(path):
            if len(fields) != 2 + len(VOTE_NAMES):
                raise malformed(path, line, "an image name, a box and 10 votes (12 fields)", f"{len(fields)} fields")
            if not fields[0].strip():
                continue
            names.append(check_name(fields[0], path, line))
            lines.append(line)
            votes.append(_votes(fields[2:], path, line))
        check_unique(names, lines, path)
        listed = [f"{FOLDERS[partition]}/{name}" for name in names]
        check_images(root, listed, path)
        paths += listed
        partitions += [partition] * len(listed)
    return _index(root, FERPLUS_FOLDERS, paths, partitions, votes)


def _read_pair(root: Path, pixels: Path, labels: Path) -> FaceIndex:
    usages = read_usages(pixels)
    paths: list[str] = []
    partitions: list[str] = []
    votes: list[list[int]] = []
    rows: list[int] = []
    lines: list[int] = []
    row = -1
    for line, fields in read_csv(labels):
        if row == -1:
            row = 0
            if fields[0].strip().lower() == "usage":
                continue
        if len(fields) != 2 + len(VOTE_NAMES):
            raise malformed(labels, line, "usage, image name and 10 votes (12 fields)", f"{len(fields)} fields")
        usage, name = fields[0].strip(), fields[1].strip()
        if usage not in _USAGES:
            raise malformed(labels, line, f"a usage of {', '.join(_USAGES)}", usage)
        if row >= len(usages) or usages[row] != usage:
            other = usages[row] if row < len(usages) else "nothing"
            raise UserError(
                f"{pixels} and {labels} do not belong together: row {row + 1} is {other} in the one and {usage} in the "
                "other. They are joined row by row: use both files as published, unsorted and whole."
            )
        if name:
            partition = _USAGES[usage]
            paths.append(f"{FOLDERS[partition]}/{check_name(name, labels, line)}")
            partitions.append(partition)
            votes.append(_votes(fields[2:], labels, line))
            rows.append(row)
            lines.append(line)
        row += 1
    if row < len(usages):
        raise UserError(
            f"{pixels} and {labels} do not belong together: {len(usages):,} rows against {row:,}. "
            "They are joined row by row: use both files as published."
        )
    check_unique(paths, lines, labels)
    order = sorted(range(len(paths)), key=lambda i: (tuple(FOLDERS).index(partitions[i]), i))
    return _index(
        root,
        FERPLUS_PAIR,
        [paths[i] for i in order],
        [partitions[i] for i in order],
        [votes[i] for i in order],
        [rows[i] for i in order],
    )


def read_usages(path: Path) -> list[str]:
    """Return the usage of each data row of fer2013.csv, without parsing the pixels.

    Raises:
        UserError: where the header or a row does not read as it should.
    """
    usages = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline().strip().lower().replace(" ", "")
            if header != "emotion,pixels,usage":
                raise malformed(path, 1, "the header emotion,pixels,Usage", header[:60])
            for number, line in enumerate(file, start=2):
                usage = line.rpartition(",")[2].strip()
                if usage not in _USAGES:
                    raise malformed(path, number, f"emotion, pixels and a usage of {', '.join(_USAGES)}", usage[:60])
                usages.append(usage)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file. Fetch it anew.") from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    return usages


def _votes(fields: list[str], path: Path, line: int) -> list[int]:
    try:
        votes = [int(field) for field in fields]
    except ValueError:
        raise malformed(path, line, "10 whole numbers of votes", ",".join(fields)) from None
    if min(votes) < 0:
        raise malformed(path, line, "no negative number of votes", ",".join(fields))
    return votes


def _index(
    root: Path,
    layout: str,
    paths: list[str],
    partitions: list[str],
    votes: list[list[int]],
    pixel_rows: list[int] | None = None,
) -> FaceIndex:
    if not paths:
        raise UserError(f"FERPlus under {root} ({layout}) names no image at all. Fetch the label lists anew.")
    return FaceIndex(
        dataset="ferplus",
        layout=layout,
        root=root,
        class_names=CLASS_ORDERS["ferplus"],
        path=np.array(paths),
        partition=np.array(partitions),
        label=np.full(len(paths), -1, dtype=np.int64),
        votes=np.array(votes, dtype=np.int64),
        vote_names=VOTE_NAMES,
        attributes={} if pixel_rows is None else {PIXEL_ROW: np.array(pixel_rows, dtype=np.int64)},
    )
