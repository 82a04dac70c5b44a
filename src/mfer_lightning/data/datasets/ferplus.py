"""FERPlus: the FER2013 faces with ten annotators' votes each.

Paper: Barsoum, Zhang, Canton Ferrer, Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", ICMI 2016. Votes: microsoft/FERPlus, MIT licence. Faces: FER2013 (Goodfellow et al.,
ICML 2013 workshop), 48 x 48 pixels, greyscale, collected from the web for research and
published in a Kaggle challenge in 2013.

Classes: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt; annotators may also vote for unknown
and NF ("not a face").

Either layout::

    ferplus/                                  ferplus/
    ├── FER2013Train/                         ├── fer2013.csv       (emotion, pixels, Usage)
    │   ├── label.csv                         └── fer2013new.csv    (Usage, Image name, 10 votes)
    │   └── fer0000000.png ...
    ├── FER2013Valid/ ...
    └── FER2013Test/ ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.images.sources import ImageSource, PixelCsvSource
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.locate import locate_images
from mfer_lightning.data.labels.numbers import whole_number
from mfer_lightning.data.labels.table_head import malformed, read_head, readable_text
from mfer_lightning.data.labels.tables import Table, check_name, check_unique, read_table
from mfer_lightning.data.protocols import LAST_EPOCH, Expected, Protocol
from mfer_lightning.data.targets import VOTE_RULES
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
VOTE_NAMES = (*CLASSES, "unknown", "NF")

#: Fields of a row in the lists of both layouts.
_FIELDS = 2 + len(VOTE_NAMES)

#: Folder of each partition, and partition of each usage in the csv pair.
FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}

#: Attribute of the faces of a csv pair: number, from 0, of the data row of fer2013.csv that contains the pixels.
PIXEL_ROW = "pixel_row"

PNG_FOLDERS = Layout(
    "PNG folders with label.csv", "the folders FER2013Train, FER2013Valid, FER2013Test, each with label.csv"
)
CSV_PAIR = Layout("fer2013.csv with fer2013new.csv", "fer2013.csv with fer2013new.csv")

#: Number of train, val and test faces that each rule keeps in a complete copy. The labels of the two layouts differ.
_COUNTS: Mapping[str, Mapping[str, tuple[int, int, int]]] = {
    PNG_FOLDERS.name: {
        "majority": (25045, 3191, 3137),
        "crossentropy": (27947, 3508, 3507),
        "probability": (27947, 3508, 3507),
        "multi": (27667, 3472, 3466),
        "argmax": (28558, 3579, 3573),
    },
    CSV_PAIR.name: {
        "majority": (25060, 3199, 3153),
        "crossentropy": (27956, 3505, 3505),
        "probability": (27956, 3505, 3505),
        "multi": (27671, 3472, 3472),
        "argmax": (28559, 3579, 3573),
    },
}

_MAJORITY = Protocol(
    name="ferplus@majority",
    class_names=CLASSES,
    val="val",
    label_rule="majority",
    target="majority",
    expected=tuple(
        Expected(partition, rule, count, layout)
        for layout, rules in _COUNTS.items()
        for rule, counts in rules.items()
        for partition, count in zip(FOLDERS, counts, strict=True)
    ),
)

INFO = DatasetInfo(
    name="ferplus",
    title="FERPlus",
    paper=(
        "Barsoum, Zhang, Canton Ferrer, Zhang: Training Deep Networks for Facial Expression Recognition with "
        "Crowd-Sourced Label Distribution, ICMI 2016"
    ),
    licence=(
        "The FERPlus votes are under the MIT licence; the faces are those of FER2013, collected from the web for "
        "research."
    ),
    access=(
        "the vote lists (label.csv in three folders, and fer2013new.csv) are in Microsoft's public FERPlus repository "
        "on GitHub; the faces are fer2013.csv of the Kaggle challenge 'Challenges in Representation Learning: Facial "
        "Expression Recognition Challenge'. FERPlus's own script writes them as PNG files into the folders; "
        "alternatively, put fer2013.csv and fer2013new.csv into one folder."
    ),
    class_names=CLASSES,
    targets=VOTE_RULES,
    file_names=r"fer\d{7}\.png",
    size=48,
    grey=True,
    template="ferplus-48",  # measured with benchmarks/dataset_templates.py
    alignment="none: faces roughly centred and of similar size, registered automatically for FER2013",
    layouts=(PNG_FOLDERS, CSV_PAIR),
    marks=(*FOLDERS.values(), "fer2013new.csv"),
    protocols=(
        _MAJORITY,
        replace(_MAJORITY, name="ferplus@argmax8", label_rule="argmax", target="argmax"),
        # Train and validation are both used for training, so no set is left for selection.
        replace(_MAJORITY, name="ferplus@ran", train=("train", "val"), val=None, selection=LAST_EPOCH),
        # For development, without using the test set.
        replace(_MAJORITY, name="ferplus@dev", val="holdout", test="val"),
    ),
)


class FERPlusDataModule(FaceDataModule):
    """FERPlus for Lightning; layouts and licence: :mod:`mfer_lightning.data.datasets.ferplus`.

    Protocols: ``majority`` (default), ``argmax8``, ``ran`` (trained on train and validation), ``dev`` (reported on
    validation). Targets: ``majority``, ``crossentropy``, ``probability``, ``multi``, ``argmax``, ``votes``. Arguments
    as for :class:`FaceDataModule`.
    """

    info = INFO

    def read(self) -> FaceIndex:
        """Read the votes in either layout."""
        return read_ferplus(self.root)

    def make_source(self, index: FaceIndex) -> ImageSource:
        """Return the PNG files, or the pixel column of the csv pair."""
        if PIXEL_ROW not in index.attributes:
            return super().make_source(index)
        return PixelCsvSource(index, index.root / "fer2013.csv", index.attributes[PIXEL_ROW], self.size)


def read_ferplus(root: str | Path) -> FaceIndex:
    """Read FERPlus in either of its layouts.

    Any of the three PNG folders may be absent. If both layouts are present, the PNG folders are read. The two csv files
    are joined row by row. The labels of the two layouts disagree on 1,602 images; ``layout`` records which was read.

    Args:
        root: the dataset's folder.

    Returns:
        Faces with votes (the ten columns of :data:`VOTE_NAMES`) and label -1. Rows without an image name are dropped.

    Raises:
        UserError: if nothing is found, a list is malformed or lists a file twice, or images are missing.
    """
    root = Path(root)
    lists = {part: root / folder / "label.csv" for part, folder in FOLDERS.items()}
    present = {part: path for part, path in lists.items() if path.is_file()}
    if present:
        return _read_folders(root, present)
    pair = root / "fer2013.csv", root / "fer2013new.csv"
    if all(path.is_file() for path in pair):
        return _read_pair(root, *pair)
    raise missing_dataset(INFO, root)


def _read_folders(root: Path, lists: Mapping[str, Path]) -> FaceIndex:
    rows: list[tuple[str, str, int]] = []
    votes: list[list[int]] = []
    notes: list[str] = []
    for partition, path in lists.items():
        folder = root / FOLDERS[partition]
        form = "an image name, a box and 10 votes (12 fields)"
        table = read_table(read_head(path), skip_header=False, width=_FIELDS, form=form)
        named = [row for row, name in enumerate(table.columns[0]) if name]
        names = [check_name(table.columns[0][row], path, table.lines[row], folder) for row in named]
        votes += _votes(table, named)
        check_unique(names, [table.lines[row] for row in named], path)
        paths, found = locate_images(root, [f"{FOLDERS[partition]}/{name}" for name in names], path)
        notes += [*table.notes, *found]
        rows += [(image, partition, -1) for image in paths]
    return _index(root, PNG_FOLDERS, rows, votes, notes=tuple(notes))


def _read_pair(root: Path, pixels: Path, labels: Path) -> FaceIndex:
    usages = read_usages(pixels)
    head = read_head(labels)
    form = "usage, image name and 10 votes (12 fields)"
    table = read_table(head, skip_header=head.rows[0][1][0].lower() == "usage", width=_FIELDS, form=form)
    for row, usage in enumerate(table.columns[0]):
        if usage not in USAGES:
            raise table.refuse(row, f"a usage of {', '.join(USAGES)}", usage)
        other = usages[row] if row < len(usages) else "missing"
        if other != usage:
            raise UserError(
                f"{pixels} and {labels} do not match: row {row + 1} is {other} in the first and {usage} in the "
                "second. They are joined row by row: use both files as published, unsorted and complete."
            )
    named = [row for row, name in enumerate(table.columns[1]) if name]
    faces: list[tuple[str, str, int, int, list[int]]] = []  # path, partition, line, data row, votes
    for row, votes in zip(named, _votes(table, named), strict=True):
        partition, line = USAGES[table.columns[0][row]], table.lines[row]
        path = f"{FOLDERS[partition]}/{check_name(table.columns[1][row], labels, line)}"
        faces.append((path, partition, line, row, votes))
    if len(table) < len(usages):
        raise UserError(
            f"{pixels} and {labels} do not match: {counted(len(usages), 'row')} against {len(table):,}. "
            "They are joined row by row: use both files as published."
        )
    check_unique([face[0] for face in faces], [face[2] for face in faces], labels)
    faces.sort(key=lambda face: tuple(FOLDERS).index(face[1]))  # stable: keeps the order within a partition
    return _index(
        root,
        CSV_PAIR,
        [(path, partition, -1) for path, partition, _, _, _ in faces],
        [face[4] for face in faces],
        attributes={PIXEL_ROW: np.array([face[3] for face in faces], dtype=np.int64)},
        notes=table.notes,
    )


def read_usages(path: Path) -> list[str]:
    """Return the usage of each data row of fer2013.csv, without parsing the pixels.

    Raises:
        UserError: if the header or a row is malformed.
    """
    usages = []
    with readable_text(path), path.open(encoding="utf-8-sig") as file:
        header = file.readline().strip().lower().replace(" ", "")
        if header != "emotion,pixels,usage":
            raise malformed(path, 1, "the header emotion,pixels,Usage", header[:60])
        for number, line in enumerate(file, start=2):
            usage = line.rpartition(",")[2].strip()
            if usage not in USAGES:
                raise malformed(path, number, f"emotion, pixels and a usage of {', '.join(USAGES)}", usage[:60])
            usages.append(usage)
    return usages


def _votes(table: Table, rows: Sequence[int]) -> list[list[int]]:
    """Return the ten votes of each row."""
    votes = []
    for row in rows:
        fields = [table.columns[i][row] for i in range(2, _FIELDS)]
        found = [whole_number(field) for field in fields]
        whole = [vote for vote in found if vote is not None]
        if len(whole) < len(found):
            raise table.refuse(row, "10 vote counts (whole numbers)", ",".join(fields))
        if min(whole) < 0:
            raise table.refuse(row, "no negative number of votes", ",".join(fields))
        votes.append(whole)
    return votes


def _index(
    root: Path, layout: Layout, rows: Sequence[tuple[str, str, int]], votes: Sequence[list[int]], **columns: Any
) -> FaceIndex:
    if not rows:
        raise UserError(f"FERPlus under {root} ({layout.name}) lists no images. Download the label lists again.")
    return FaceIndex.from_rows(
        rows,
        dataset=INFO.name,
        layout=layout.name,
        root=root,
        class_names=CLASSES,
        votes=np.array(votes, dtype=np.int64),
        vote_names=VOTE_NAMES,
        **columns,
    )
