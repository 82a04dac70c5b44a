"""RAF-DB, compound subset: faces that show a combination of two emotions, in eleven classes.

Paper: Li, Deng, Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild", CVPR 2017. 3,162 training and 792 test faces, aligned by the authors; there is no validation set. Licence:
non-commercial research, on request from the authors; images must not be redistributed.

Classes, with the numbers of the label file (class indices are one lower): 1 happily surprised, 2 happily disgusted,
3 sadly fearful, 4 sadly angry, 5 sadly surprised, 6 sadly disgusted, 7 fearfully angry, 8 fearfully surprised,
9 angrily surprised, 10 angrily disgusted, 11 disgustedly surprised.

Layout (``compound/`` may also be the dataset's folder itself)::

    raf-db/
    └── compound/
        ├── EmoLabel/list_patition_label.txt     train_0001.jpg 5
        └── Image/aligned/
            ├── train_0001_aligned.jpg ...
            └── test_0001_aligned.jpg ...

The layout, the class order (one published list and RAF-CE by the same authors agree on it) and the two counts were
verified against public dataset readers, not against the data. No counts by class were found.
"""

from __future__ import annotations

from pathlib import Path

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.image_files import first_file, first_folder
from mfer_lightning.data.labels.partition_list import LIST_NAMES, read_partition_list
from mfer_lightning.data.protocols import BEST_ON_TEST, Expected, Protocol
from mfer_lightning.errors import UserError

#: The position is the class index; the numbers in the label files are one higher.
CLASSES = (
    "happily_surprised",
    "happily_disgusted",
    "sadly_fearful",
    "sadly_angry",
    "sadly_surprised",
    "sadly_disgusted",
    "fearfully_angry",
    "fearfully_surprised",
    "angrily_surprised",
    "angrily_disgusted",
    "disgustedly_surprised",
)

#: Number of classes of the basic subset. A list of more than TELLING faces whose labels are all at most BASIC is
#: taken for the list of that subset.
BASIC = 7
TELLING = 50

FOLDERS = ("compound/", "")
LISTS = tuple(f"{folder}EmoLabel/{name}" for folder in FOLDERS for name in LIST_NAMES)

WITH_LIST = Layout("compound list with Image/aligned", f"{LISTS[0]} with compound/Image/aligned/train_0001_aligned.jpg")

_COUNTS = (Expected("train", "label", 3162), Expected("test", "label", 792))

INFO = DatasetInfo(
    name="rafdb_compound",
    title="RAF-DB compound",
    paper=(
        "Li, Deng, Du: Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the "
        "Wild, CVPR 2017"
    ),
    licence="RAF-DB is for non-commercial research only, on request from its authors; images must not be passed on.",
    access=(
        "RAF-DB is available to researchers on request, sent from a university address to its authors (Deng and "
        "Li, Beijing University of Posts and Telecommunications; the form is on the dataset's page). Unpack the "
        "compound subset: the list of labels into compound/EmoLabel, the aligned images into compound/Image/aligned."
    ),
    class_names=CLASSES,
    first_number=1,
    named_like=("rafdb",),
    size=100,
    alignment="by the authors, from five landmarks: 100 x 100 pixels",
    layouts=(WITH_LIST,),
    protocols=(
        Protocol("rafdb_compound@holdout", CLASSES, expected=_COUNTS),
        Protocol("rafdb_compound@paper", CLASSES, BEST_ON_TEST, val="test", expected=_COUNTS),
    ),
)


class RAFDBCompoundDataModule(FaceDataModule):
    """RAF-DB's compound subset for Lightning; layout and licence: :mod:`mfer_lightning.data.datasets.rafdb_compound`.

    Protocols: ``holdout`` (default; a tenth of train is held out for selection) and ``paper`` (selected on test).
    Arguments as for :class:`FaceDataModule`.
    """

    info = INFO

    def read(self) -> FaceIndex:
        """Read the list."""
        return read_rafdb_compound(self.root, self.trust_labels)


def read_rafdb_compound(root: str | Path, trust_labels: bool = False) -> FaceIndex:
    """Read RAF-DB's compound subset.

    Args:
        root: folder of RAF-DB, or of its compound subset. A partition without any images is left out.
        trust_labels: do not reject a list that seems to be that of the basic subset.

    Returns:
        Faces of the partitions train and test, in list order.

    Raises:
        UserError: if nothing is found, the list is malformed or belongs to the basic subset, a label is out of range,
            or images are missing.
    """
    root = Path(root)
    path = first_file(root, LISTS)
    if path is None:
        raise missing_dataset(INFO, root)
    folder = first_folder(path.parent.parent, ("Image/aligned",))
    if folder is None:
        raise UserError(
            f"{path} exists, but the images that it lists do not: there is no folder "
            f"{path.parent.parent / 'Image/aligned'}. Unpack the aligned images of the compound subset there."
        )
    aligned = (path.parent.parent / folder).relative_to(root).as_posix()
    rows, notes = read_partition_list(root, path, {"train": aligned, "test": aligned}, CLASSES, INFO.title)
    if len(rows) > TELLING and max(label for _, _, label in rows) < BASIC and not trust_labels:
        raise UserError(
            f"{path} has no label above {BASIC}, so it seems to be the list of RAF-DB's basic subset, whose label "
            f"numbers mean other classes. Use dataset=rafdb dataset.root={path.parent.parent}, or "
            "dataset.trust_labels=true if these are nevertheless compound labels."
        )
    return FaceIndex.from_rows(
        rows, dataset=INFO.name, layout=WITH_LIST.name, root=root, class_names=CLASSES, notes=notes
    )
