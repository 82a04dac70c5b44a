"""SFEW 2.0: film frames with seven emotions.

Paper: Dhall, Ramana Murthy, Goecke, Joshi, Gedeon, "Video and Image Based Emotion Recognition Challenges in the Wild:
EmotiW 2015", ICMI 2015. 958 training, 436 validation and 372 test frames; the test labels were never published, so
papers report on the validation set. Licence: non-commercial research, on request from the authors.

Classes: angry, disgust, fear, happy, neutral, sad, surprise.

Any of these layouts, in this order of precedence (an unlabelled ``Test/`` is ignored)::

    sfew/                                      sfew/
    ├── Train/Train_Aligned_Faces/             ├── aligned/    (mfer align source=sfew output=sfew/aligned)
    │   ├── Angry/                             │   ├── alignment.json
    │   │   └── Airheads_000519240_00000005.png│   ├── Train/Angry/..._aligned.jpg
    │   └── Surprise/ ...                      │   └── Val/...
    └── Val/Val_Aligned_Faces/ ...             └── Train/Angry/, Val/Angry/   (the frames)

``Train_Aligned_Faces/`` and ``Val_Aligned_Faces/`` (or ``Val_Aligned_Faces_new/``) may also be directly in ``sfew/``.

The folders, file names and counts of frames were verified against public dataset readers, not against the data. The
counts by class are unknown, as is the number of published aligned faces, which may be lower than that of the frames.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.aligned_faces import aligned_folder, whole_photos
from mfer_lightning.data.labels.class_folders import (
    PARTITION_FOLDERS,
    class_of,
    find_partitions,
    has_classes,
    left_out,
    scan_class_folders,
)
from mfer_lightning.data.labels.image_files import first_folder
from mfer_lightning.data.protocols import Expected, Protocol
from mfer_lightning.errors import UserError

#: The position is the class index; the dataset does not number its classes.
CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")

#: Part -> possible locations of its published aligned faces.
PUBLISHED = {
    part: tuple(f"{folder}{name}_Aligned_Faces{end}" for folder in (f"{name}/", "") for end in ("", "_new"))
    for part, name in (("train", "Train"), ("val", "Val"))
}

WITH_FACES = Layout(
    "published aligned faces", f"{PUBLISHED['train'][0]} and {PUBLISHED['val'][0]}, one folder per class"
)
ALIGNED = Layout("faces found by mfer align", "aligned/ (or the folder itself) with alignment.json, Train/ and Val/")

_PARTITIONS = {part: PARTITION_FOLDERS[part] for part in ("train", "val")}

#: File name of a frame: the name of the clip, followed by the frame number.
_CLIP = re.compile(r"(.+)_\d{8}(_aligned)?")

INFO = DatasetInfo(
    name="sfew",
    title="SFEW 2.0",
    paper=(
        "Dhall, Ramana Murthy, Goecke, Joshi, Gedeon: Video and Image Based Emotion Recognition Challenges in the "
        "Wild: EmotiW 2015, ICMI 2015"
    ),
    licence="SFEW 2.0 is for non-commercial research only, on request from its authors; images must not be passed on.",
    access=(
        "SFEW 2.0 is available to researchers on request, through the form on the page of its authors "
        "(Australian National University, AFEW and SFEW). Unpack the aligned faces of Train and Val, or unpack "
        "the frames and run mfer align."
    ),
    class_names=CLASSES,
    first_number=None,
    file_names=r".+_\d{9}_\d{8}(_aligned)?\.\w+",
    alignment="by the authors, or by mfer align from the whole frames",
    layouts=(WITH_FACES, ALIGNED),
    marks=("Train_Aligned_Faces", "Val_Aligned_Faces"),
    protocols=(
        Protocol(
            "sfew@native",
            CLASSES,
            test="val",
            expected=(Expected("train", "label", 958), Expected("val", "label", 436)),
        ),
    ),
)


class SFEWDataModule(FaceDataModule):
    """SFEW 2.0 for Lightning; layouts and licence: :mod:`mfer_lightning.data.datasets.sfew`.

    Protocol: ``native``. The official validation set is the test split (the labels of the official test set were never
    published). For selection, a tenth of the training set is held out, keeping all frames of a clip together.
    Arguments as for :class:`FaceDataModule`.
    """

    info = INFO

    def read(self) -> FaceIndex:
        """Read the faces in any of the layouts."""
        return read_sfew(self.root)


def read_sfew(root: str | Path) -> FaceIndex:
    """Read SFEW 2.0.

    Args:
        root: the dataset's folder.

    Returns:
        Faces of the partitions train and val, sorted by name, with the film clip as group.

    Raises:
        UserError: if nothing is found, the faces have not been detected in the frames yet, or a class folder is
            unknown.
    """
    root = Path(root)
    published = {part: folder for part, names in PUBLISHED.items() if (folder := first_folder(root, names)) is not None}
    if published:
        return _read_folders(root, published, WITH_FACES)
    folder = aligned_folder(root)
    if folder is not None:
        found = find_partitions(root / folder, _PARTITIONS, "SFEW has a training and a validation set. ")
        places = {part: name if folder == "." else f"{folder}/{name}" for part, name in found.items()}
        return _read_folders(root, places, ALIGNED)
    if has_classes(root, find_partitions(root, _PARTITIONS)):
        raise whole_photos(INFO.title, root, f"unpack the published faces into {root / PUBLISHED['train'][0]}")
    raise missing_dataset(INFO, root)


def _read_folders(root: Path, places: Mapping[str, str], layout: Layout) -> FaceIndex:
    meaning = partial(class_of, root=root, names=CLASSES, first=0, title=INFO.title)
    folders = scan_class_folders(root, places, meaning)
    rows = [row for folder in folders for row in folder.rows(CLASSES)]
    if not rows:
        raise UserError(f"SFEW under {root} ({layout.name}) contains no faces. Unpack or align the frames again.")
    clips = [match[1] if (match := _CLIP.fullmatch(PurePosixPath(path).stem)) else path for path, _, _ in rows]
    return FaceIndex.from_rows(
        rows,
        dataset=INFO.name,
        layout=layout.name,
        root=root,
        class_names=CLASSES,
        group=np.unique(clips, return_inverse=True)[1].astype(np.int64),
        notes=left_out(folders),
    )
