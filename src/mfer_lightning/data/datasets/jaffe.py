"""JAFFE: posed expressions of ten Japanese women, with seven emotions.

Paper: Lyons, Akamatsu, Kamachi, Gyoba, "Coding Facial Expressions with Gabor Wavelets", International Conference on
Automatic Face and Gesture Recognition 1998. 213 greyscale pictures of 256 x 256 pixels. Licence: non-commercial
research, on request (Zenodo).

Classes, by the letters in the file names: AN anger, DI disgust, FE fear, HA happy, NE neutral, SA sad, SU surprise.

Any of these layouts, in this order of precedence::

    jaffe/                                  jaffe/
    └── aligned/KA.AN1.39_aligned.jpg ...   └── KA.AN1.39.tiff ...   (or in jaffe/, jaffedbase/)

A name contains the person, the expression with the number of its take, and a serial number. ``aligned/`` is the output
of ``mfer align source=jaffe output=jaffe/aligned``.

The names, people and total were verified against the description of the dataset and public dataset readers, not against
the data. Public sources disagree on the counts by class, so only the total is checked.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.aligned_faces import FOLDER
from mfer_lightning.data.labels.image_files import listing
from mfer_lightning.data.protocols import Expected, protocols_by_subject
from mfer_lightning.plurals import counted

#: Letters in file names -> class; the position is the class index.
LETTERS = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
CLASSES = tuple(LETTERS.values())

NAMES = rf"([A-Z]{{2}})\.({'|'.join(LETTERS)})\d\.\d+(?:_aligned)?\.\w+"
_NAME = re.compile(NAMES, re.IGNORECASE)

ALIGNED = Layout("pictures aligned by mfer align", f"{FOLDER}/KA.AN1.39_aligned.jpg")
FLAT = Layout("pictures named by person and expression", "KA.AN1.39.tiff, in the folder itself, jaffe or jaffedbase")
PLACES = {FOLDER: ALIGNED, f"{FOLDER}/jaffe": ALIGNED, f"{FOLDER}/jaffedbase": ALIGNED} | dict.fromkeys(
    (".", "jaffe", "jaffedbase"), FLAT
)

INFO = DatasetInfo(
    name="jaffe",
    title="JAFFE",
    paper=(
        "Lyons, Akamatsu, Kamachi, Gyoba: Coding Facial Expressions with Gabor Wavelets, International Conference on "
        "Automatic Face and Gesture Recognition 1998"
    ),
    licence="JAFFE is for non-commercial scientific research only, on request; images must not be redistributed.",
    access="JAFFE is available to researchers on request, through its page on Zenodo (doi 10.5281/zenodo.3451524).",
    class_names=CLASSES,
    first_number=None,
    file_names=NAMES,
    size=256,
    grey=True,
    alignment="none: frontal faces at similar positions; mfer align aligns them",
    layouts=(ALIGNED, FLAT),
    protocols=protocols_by_subject("jaffe", CLASSES, (Expected("train", "label", 213),))[::-1],
)


class JAFFEDataModule(FaceDataModule):
    """JAFFE for Lightning; layouts and licence: :mod:`mfer_lightning.data.datasets.jaffe`.

    Protocols: ``loso`` (default; leave one subject out) and ``kfold10``, which is equivalent with ten people. ``fold``
    selects the test subject: one run per fold, combined by ``mfer report``. Arguments as for :class:`FaceDataModule`.
    """

    info = INFO

    def read(self) -> FaceIndex:
        """Read the labels from the file names."""
        return read_jaffe(self.root)


def read_jaffe(root: str | Path) -> FaceIndex:
    """Read JAFFE.

    Args:
        root: the dataset's folder.

    Returns:
        Faces of the partition train, sorted by name, with the person as group and as attribute ``subject``.

    Raises:
        UserError: if no image has a file name like those of JAFFE.
    """
    root = Path(root)
    for place in PLACES:
        images = listing(root / place)[1]
        found = [(name, match) for name in images if (match := _NAME.fullmatch(name))]
        if found:
            break
    else:
        raise missing_dataset(INFO, root)
    prefix = "" if place == "." else f"{place}/"
    others = len(images) - len(found)
    subjects = [match[1].upper() for _, match in found]
    return FaceIndex.from_rows(
        [(f"{prefix}{name}", "train", CLASSES.index(LETTERS[match[2].upper()])) for name, match in found],
        dataset=INFO.name,
        layout=PLACES[place].name,
        root=root,
        class_names=CLASSES,
        group=np.unique(subjects, return_inverse=True)[1].astype(np.int64),
        attributes={"subject": np.array(subjects)},
        notes=(f"left out: {counted(others, 'picture')} in {root / place} with other names",) if others else (),
    )
