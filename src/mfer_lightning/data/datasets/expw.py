"""ExpW: faces from web photos found by emotion keywords, with seven emotions.

Paper: Zhang, Luo, Loy, Tang, "From Facial Expression Recognition to Interpersonal Relation Prediction", International
Journal of Computer Vision 2018. 91,793 faces with their boxes; there is no official split. Licence: non-commercial
research.

Classes: 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral.

Layout::

    expw/
    ├── label/label.lst        angry_actor_104.jpg 0 28 113 226 141 22.9362 0
    └── image/origin/          (or origin/, image/, images/)
        └── angry_actor_104.jpg ...

A line contains the photo, the number of the face in it, the box as top, left, right and bottom, the detector's
confidence and the label. The layout, the column order and the counts were verified against public dataset readers, not
against the data. One of these readers drops repeated lines, so the list may contain some; here, they count once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.boxed_faces import read_boxed_faces
from mfer_lightning.data.labels.image_files import first_file, first_folder
from mfer_lightning.data.protocols import Expected, Protocol
from mfer_lightning.errors import UserError

#: The position is the class index and the dataset's own number.
CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")

LISTS = ("label/label.lst", "label.lst", "data/label/label.lst")
PHOTOS = ("image/origin", "origin", "image", "images", "data/image/origin")

#: Fields of a line.
WIDTH = 8
COLUMNS = {"path": 0, "label": 7, "left": 3, "top": 2, "right": 4, "bottom": 5}
CONFIDENCE = 6

WITH_LIST = Layout("label.lst with photos", f"{LISTS[0]} with the photos in {PHOTOS[0]}")

INFO = DatasetInfo(
    name="expw",
    title="ExpW",
    paper=(
        "Zhang, Luo, Loy, Tang: From Facial Expression Recognition to Interpersonal Relation Prediction, International "
        "Journal of Computer Vision 2018"
    ),
    licence="ExpW is for non-commercial research only; images must not be passed on.",
    access=(
        "ExpW is available on the page of the Multimedia Laboratory of the Chinese University of Hong Kong "
        "(social relation prediction). Unpack the photos into image/origin, next to label/label.lst."
    ),
    class_names=CLASSES,
    alignment="none: cropped to the face box of the list",
    layouts=(WITH_LIST,),
    protocols=(
        Protocol(
            "expw@photo",
            CLASSES,
            test="holdout",
            expected=(Expected("train", "label", (3671, 3995, 1088, 30537, 10559, 7060, 34883)),),
        ),
    ),
)


class ExpWDataModule(FaceDataModule):
    """ExpW for Lightning; layout and licence: :mod:`mfer_lightning.data.datasets.expw`.

    Faces are cropped to the box in the list. Protocol: ``photo``, a split defined by this package because there is no
    official one. A fifth of the faces is the test set, and a tenth of the rest is used for selection; all faces of a
    photo are in the same split. Papers use other splits, mostly random by face. Arguments as for
    :class:`FaceDataModule`.
    """

    info = INFO

    def read(self) -> FaceIndex:
        """Read the list."""
        return read_expw(self.root)


def read_expw(root: str | Path) -> FaceIndex:
    """Read ExpW.

    Args:
        root: the dataset's folder.

    Returns:
        Faces of the partition train in the order of the list, with their boxes, the photo as group, and the detector's
        confidence as attribute ``confidence``.

    Raises:
        UserError: if nothing is found, the list is malformed, a label is out of range, a face has two labels, or
            photos are missing.
    """
    root = Path(root)
    path = first_file(root, LISTS)
    if path is None:
        raise missing_dataset(INFO, root)
    folder = first_folder(root, PHOTOS)
    if folder is None:
        raise UserError(
            f"{path} exists, but the photos do not. Looked for the folders {', '.join(PHOTOS)} under {root}. Unpack "
            f"the photos into {root / PHOTOS[0]}."
        )
    faces = read_boxed_faces(path, root, folder, COLUMNS, WIDTH, len(CLASSES))
    assert faces.table is not None
    confidence = []
    for row in faces.rows:
        text = faces.table.columns[CONFIDENCE][row]
        try:
            confidence.append(float(text))
        except ValueError:
            raise faces.table.refuse(row, "the detector's confidence as a number", text) from None
    return FaceIndex.from_rows(
        [(photo, "train", label) for photo, label in zip(faces.paths, faces.labels, strict=True)],
        dataset=INFO.name,
        layout=WITH_LIST.name,
        root=root,
        class_names=CLASSES,
        box=np.array(faces.boxes, dtype=np.int64),
        group=np.unique(faces.paths, return_inverse=True)[1].astype(np.int64),
        attributes={"confidence": np.array(confidence, dtype=np.float32)},
        notes=tuple(faces.notes),
    )
