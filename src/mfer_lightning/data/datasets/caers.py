"""CAER-S: frames of television series, showing people in context, with seven emotions.

Paper: Lee, Kim, Kim, Park, Sohn, "Context-Aware Emotion Recognition Networks", ICCV 2019. About 70,000 frames without
face boxes: detect the faces with ``mfer align`` first, or provide a table of boxes. Licence: non-commercial research.

Classes: anger, disgust, fear, happy, neutral, sad, surprise.

Any of these layouts, in this order of precedence::

    caer-s/                                caer-s/
    ├── train.txt, test.txt   (boxes)      ├── aligned/    (mfer align source=caer-s output=caer-s/aligned)
    ├── train/                             │   ├── alignment.json
    │   ├── Anger/0001.png ...             │   ├── train/Anger/0001_aligned.jpg ...
    │   └── Surprise/                      │   └── test/...
    └── test/ ...                          └── train/, test/   (the frames; no longer needed)

A line in a table of boxes is ``test/Happy/0001.png,3,278,110,363,195``: the frame, the class number and the box as
left, top, right and bottom. This is the format of a public, manually checked table (larrylu0426/CAERS-Annotation) with
47,966 training and 20,868 test faces. ``aligned/`` may also be the dataset's folder itself.

The class folders and the table (its format and counts by class) were verified against public dataset readers, not
against the data. No list says which frames come from the same video clip, so the holdout, and possibly the official
test set, may share clips with the training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.aligned_faces import aligned_folder, whole_photos
from mfer_lightning.data.labels.boxed_faces import read_boxed_faces
from mfer_lightning.data.labels.class_folders import (
    PARTITION_FOLDERS,
    class_of,
    find_partitions,
    has_classes,
    left_out,
    scan_class_folders,
)
from mfer_lightning.data.labels.image_files import files_in
from mfer_lightning.data.protocols import Expected, Protocol
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError

#: The position is the class index and the number in tables of boxes.
CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")

#: Default tables of boxes in the dataset's folder.
TABLES = ("train.txt", "test.txt")
WIDTH = 6
COLUMNS = {"path": 0, "label": 1, "left": 2, "top": 3, "right": 4, "bottom": 5}

BOXES = Layout("frames with a table of boxes", "train.txt and test.txt (boxes) next to train/Anger and test/Anger")
ALIGNED = Layout("faces found by mfer align", "aligned/ (or the folder itself) with alignment.json, train/ and test/")

_PARTITIONS = {part: PARTITION_FOLDERS[part] for part in ("train", "test")}
_COUNTS = (
    Expected("train", "label", (6856, 6890, 6873, 6814, 6799, 6910, 6824), BOXES.name),
    Expected("test", "label", (2988, 2980, 2972, 2990, 2985, 2983, 2970), BOXES.name),
)

INFO = DatasetInfo(
    name="caers",
    title="CAER-S",
    paper="Lee, Kim, Kim, Park, Sohn: Context-Aware Emotion Recognition Networks, ICCV 2019",
    licence="CAER-S is for non-commercial research only; images must not be passed on.",
    access=(
        "CAER-S is available on the page of its authors (Yonsei University, caer-dataset.github.io). Unpack "
        "train/ and test/, then detect the faces with mfer align, or put a table of boxes next to them."
    ),
    class_names=CLASSES,
    alignment="none: whole frames; faces come from mfer align or a table of boxes",
    layouts=(BOXES, ALIGNED),
    protocols=(Protocol("caers@holdout", CLASSES, expected=_COUNTS),),
)


class CAERSDataModule(FaceDataModule):
    """CAER-S for Lightning; layouts and licence: :mod:`mfer_lightning.data.datasets.caers`.

    Protocol: ``holdout``: the official splits, with a tenth of train held out for selection.

    Args:
        root: the dataset's folder.
        boxes: table of boxes, or several; paths are relative to the dataset's folder. None: ``train.txt`` and
            ``test.txt`` if present.
        options: arguments of :class:`FaceDataModule`.
    """

    info = INFO

    def __init__(self, root: str | Path, *, boxes: str | Sequence[str] | None = None, **options: Any) -> None:
        self.boxes = boxes
        super().__init__(root, **options)

    def read(self) -> FaceIndex:
        """Read the faces in any of the layouts."""
        return read_caers(self.root, self.boxes)


def read_caers(root: str | Path, boxes: str | Sequence[str] | None = None) -> FaceIndex:
    """Read CAER-S.

    Args:
        root: the dataset's folder.
        boxes: as for :class:`CAERSDataModule`.

    Returns:
        Faces of the partitions train and test; in table order with boxes, or sorted by name.

    Raises:
        UserError: if nothing is found, the faces have not been detected in the frames yet, a table is malformed or
            contradicts the class folders, or frames are missing.
    """
    root = Path(root)
    given = [boxes] if isinstance(boxes, str) else list(boxes or ())
    tables = [root / name for name in given or TABLES if given or name in files_in(root)]
    for path in tables:
        if not path.is_file():
            raise UserError(f"dataset.boxes={boxes}: there is no file {path}.")
    if tables:
        return _read_boxes(root, tables)
    folder = aligned_folder(root)
    if folder is not None:
        return _read_aligned(root, folder)
    if has_classes(root, find_partitions(root, _PARTITIONS)):
        raise whole_photos(
            INFO.title, root, "give their boxes with dataset.boxes=<table of path,label,left,top,right,bottom>"
        )
    raise missing_dataset(INFO, root)


def _read_boxes(root: Path, tables: Sequence[Path]) -> FaceIndex:
    rows: list[tuple[str, str, int]] = []
    box: list[tuple[int, int, int, int]] = []
    notes: list[str] = []
    for path in tables:
        faces = read_boxed_faces(path, root, ".", COLUMNS, WIDTH, len(CLASSES))
        for frame, label, where in zip(faces.paths, faces.labels, faces.boxes, strict=True):
            part, _, rest = frame.partition("/")
            partition = next((p for p, names in _PARTITIONS.items() if part.lower() in names), None)
            if partition is None or canonical(rest.partition("/")[0]) != CLASSES[label]:
                raise UserError(
                    f"{path}: {frame} has the class {label} ({CLASSES[label]}), but is in the folder of another class. "
                    "Frames must be in train/<class>/ or test/<class>/. Download the table again."
                )
            rows.append((frame, partition, label))
            box.append(where)
        notes += faces.notes
    return _index(root, BOXES, rows, notes=tuple(notes), box=np.array(box, dtype=np.int64).reshape(-1, 4))


def _read_aligned(root: Path, folder: str) -> FaceIndex:
    found = find_partitions(root / folder, _PARTITIONS, "CAER-S has a training and a test set. ")
    places = {part: name if folder == "." else f"{folder}/{name}" for part, name in found.items()}
    meaning = partial(class_of, root=root, names=CLASSES, first=0, title=INFO.title)
    folders = scan_class_folders(root, places, meaning)
    return _index(root, ALIGNED, [row for one in folders for row in one.rows(CLASSES)], notes=left_out(folders))


def _index(root: Path, layout: Layout, rows: Sequence[tuple[str, str, int]], **columns: Any) -> FaceIndex:
    if not rows:
        raise UserError(f"CAER-S under {root} ({layout.name}) contains no faces. Unpack or align the frames again.")
    return FaceIndex.from_rows(rows, dataset=INFO.name, layout=layout.name, root=root, class_names=CLASSES, **columns)
