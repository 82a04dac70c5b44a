"""CK+: posed expressions of 123 people, as image sequences from neutral to peak.

Paper: Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews, "The Extended Cohn-Kanade Dataset (CK+): A complete dataset for
action unit and emotion-specified expression", CVPR Workshops 2010. 327 of the 593 sequences, from 118 people, have an
emotion label. Licence: non-commercial research, on request; images of most people must not be published.

Emotion codes: 0 neutral, 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happiness, 6 sadness, 7 surprise. They are the class
indices of the protocols with neutral; without it, the indices are one lower. As is common practice, the last three
images of a labelled sequence have its emotion as their label. The first image is neutral; only the protocols with
neutral use it.

Any of these layouts, in this order of precedence::

    ckplus/                                         ckplus/
    ├── aligned/S005/001/S005_001_00000001_aligned.jpg   ├── cohn-kanade-images/
    └── Emotion/S005/001/...                        │   └── S005/001/S005_001_00000001.png ...
                                                    └── Emotion/
                                                        └── S005/001/S005_001_00000011_emotion.txt   (one number: 3.0)

``aligned/`` is the output of ``mfer align source=ckplus/cohn-kanade-images output=ckplus/aligned``.

The layout, the emotion codes and the counts of sequences and people were verified against the description of the
dataset and public dataset readers, not against the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.aligned_faces import FOLDER
from mfer_lightning.data.labels.image_files import files_in, first_folder, listing
from mfer_lightning.data.labels.numbers import whole_number
from mfer_lightning.data.labels.table_head import read_lines
from mfer_lightning.data.protocols import Expected, protocols_by_subject
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: The position is the number of the class in the label files.
CLASSES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")

#: Number of images at the end of a sequence that show its emotion.
PEAK = 3

PICTURES = (f"{FOLDER}/cohn-kanade-images", FOLDER, "cohn-kanade-images")
LABELS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")

ALIGNED = Layout("aligned sequences with Emotion", f"{FOLDER}/S005/001 (mfer align) with {LABELS[0]}/S005/001")
SEQUENCES = Layout("sequences with Emotion", f"{PICTURES[-1]}/S005/001 with {LABELS[0]}/S005/001")

#: Number of labelled sequences by emotion, anger to surprise.
_SEQUENCES = (45, 18, 59, 25, 69, 28, 83)
_PEAKS = tuple(PEAK * count for count in _SEQUENCES)

#: Name suffix of the protocols that use the first image as a neutral face.
NEUTRAL = "-neutral"

INFO = DatasetInfo(
    name="ckplus",
    title="CK+",
    paper=(
        "Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews: The Extended Cohn-Kanade Dataset (CK+): A complete dataset "
        "for action unit and emotion-specified expression, CVPR Workshops 2010"
    ),
    licence=(
        "CK+ is for non-commercial research only, on request; images must not be redistributed, and only images of "
        "people who have agreed may be published."
    ),
    access=(
        "CK+ is available to researchers on request, through the page of Jeffrey Cohn's laboratory at the "
        "University of Pittsburgh. Unpack cohn-kanade-images.zip and Emotion_labels.zip (as Emotion/)."
    ),
    class_names=CLASSES,
    file_names=r"S\d{3}_\d{3}_\d{8}(_aligned)?\.\w+",
    alignment="none: head and shoulders; mfer align aligns them",
    layouts=(ALIGNED, SEQUENCES),
    marks=("cohn-kanade-images",),
    protocols=(
        *protocols_by_subject("ckplus", CLASSES[1:], (Expected("train", "label", _PEAKS),)),
        *protocols_by_subject(
            "ckplus", CLASSES, (Expected("train", "label", (sum(_SEQUENCES), *_PEAKS)),), mark=NEUTRAL
        ),
    ),
)


class CKPlusDataModule(FaceDataModule):
    """CK+ for Lightning; layouts and licence: :mod:`mfer_lightning.data.datasets.ckplus`.

    Protocols: ``kfold10`` (default; ten folds by subject) and ``loso`` (leave one subject out), with seven classes, and
    ``kfold10-neutral`` and ``loso-neutral`` with the first image of each sequence as an eighth class. ``fold`` selects
    the test fold: one run per fold, combined by ``mfer report``. Arguments as for :class:`FaceDataModule`.
    """

    info = INFO

    def read(self) -> FaceIndex:
        """Read the labelled sequences."""
        return read_ckplus(self.root, neutral=self.protocol.short_name.endswith(NEUTRAL))


def read_ckplus(root: str | Path, neutral: bool = False) -> FaceIndex:
    """Read CK+.

    Args:
        root: the dataset's folder.
        neutral: whether to add the first image of a labelled sequence as a neutral face; otherwise there are seven
            classes.

    Returns:
        Faces of the partition train, sorted by name, with the person as group and as attribute ``subject``.

    Raises:
        UserError: if nothing is found, an emotion is malformed or out of range, or a labelled sequence has too few
            images.
    """
    root = Path(root)
    pictures, labels = first_folder(root, PICTURES), first_folder(root, LABELS)
    if pictures is None or labels is None:
        raise missing_dataset(INFO, root)
    class_names = CLASSES if neutral else CLASSES[1:]
    rows: list[tuple[str, str, int]] = []
    subjects: list[str] = []
    for sequence, emotion in _labelled(root, labels):
        folder = f"{pictures}/{sequence}"
        frames = sorted(listing(root / folder)[1])
        if len(frames) < PEAK + neutral:
            raise UserError(
                f"{root / folder} contains {counted(len(frames), 'picture')}, but a labelled sequence needs "
                f"{PEAK + neutral}. Unpack or align it again, or remove its file from {labels}."
            )
        shown = [(frame, emotion) for frame in frames[-PEAK:]] + ([(frames[0], CLASSES[0])] if neutral else [])
        rows += [(f"{folder}/{frame}", "train", class_names.index(name)) for frame, name in sorted(shown)]
        subjects += [sequence.partition("/")[0]] * len(shown)
    if not rows:
        raise UserError(f"{root / labels} contains no emotion labels (S005/001/..._emotion.txt). Unpack it again.")
    aligned = pictures.startswith(FOLDER)
    advice = f"the pictures are not aligned: run mfer align source={pictures} output={FOLDER} in the folder of CK+"
    return FaceIndex.from_rows(
        rows,
        dataset=INFO.name,
        layout=(ALIGNED if aligned else SEQUENCES).name,
        root=root,
        class_names=class_names,
        group=np.unique(subjects, return_inverse=True)[1].astype(np.int64),
        attributes={"subject": np.array(subjects)},
        notes=() if aligned else (advice,),
    )


def _labelled(root: Path, labels: str) -> Iterator[tuple[str, str]]:
    """Yield person and sequence, e.g. ``S005/001``, and the emotion of each labelled sequence, sorted by name."""
    for subject in listing(root / labels)[0]:
        for sequence in listing(root / labels / subject)[0]:
            place = root / labels / subject / sequence
            files = sorted(name for name in files_in(place) if re.fullmatch(r"[^.].*_emotion\.txt", name))
            if len(files) > 1:
                raise UserError(f"{place} contains several emotions, {', '.join(files)}. Keep one of them.")
            if not files:
                continue
            text = " ".join(read_lines(place / files[0])).strip()
            number = whole_number(f"{float(text):g}" if _is_float(text) else text)
            if number is None or not 1 <= number < len(CLASSES):
                legal = ", ".join(f"{k} {name}" for k, name in enumerate(CLASSES) if k)
                raise UserError(
                    f"{place / files[0]}: expected the number of an emotion ({legal}), but got {text[:40]!r}. Unpack "
                    "the labels again."
                )
            yield f"{subject}/{sequence}", CLASSES[number]


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
