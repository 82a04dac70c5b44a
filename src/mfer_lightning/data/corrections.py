"""Correct a training set with lists: exclude faces and relabel faces.

The lists come from a label audit (``mfer data noise=audit``), a search for duplicates (``mfer data shared=<folder>``)
or manual inspection. Validation and test faces are never changed, so that results remain comparable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.columns import find_columns
from mfer_lightning.data.labels.face_lists import FaceList, match_list, read_names
from mfer_lightning.data.labels.shipped_lists import find_list
from mfer_lightning.data.labels.table_head import read_head
from mfer_lightning.data.labels.tables import read_table
from mfer_lightning.data.splits import Split
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.plurals import counted

#: Kind of face that a list must contain, for messages.
_TRAINED = "training face"


def exclude_faces(train: Split, index: FaceIndex, files: Sequence[str | Path]) -> tuple[Split, list[str]]:
    """Exclude the faces in lists from a training set.

    Args:
        train: the training faces.
        index: the dataset's faces.
        files: text or csv files with one file name per line
            (:func:`~mfer_lightning.data.labels.face_lists.read_names`), or names in
            :data:`~mfer_lightning.data.labels.shipped_lists.SHIPPED_LISTS`. Names of validation and test faces are
            counted but have no effect. An empty list excludes nothing.

    Returns:
        The remaining training faces, and one note per list.

    Raises:
        UserError: if a list cannot be read or contains no training face, or no face is left.
    """
    notes, left_out = [], np.zeros(len(train), dtype=bool)
    for file in files:
        names = read_names(find_list(file), empty=True)
        if not names:
            notes.append(f"dataset.exclude: {Path(file).name} lists no faces")
            continue
        found = _match("dataset.exclude", names, index, train)
        left_out |= np.isin(train.rows, found.rows)
        name = Path(file).name
        words = counted(len(found.rows), f"training face of {name} is", f"training faces of {name} are")
        notes.append(f"dataset.exclude: {words} left out")
        notes[-1] += _rest(found)
    if len(train) and left_out.all():
        raise UserError(
            f"dataset.exclude={', '.join(map(str, files))} leaves no training faces. "
            "Shorten the list, or remove the option."
        )
    kept = ~left_out
    return Split(train.rows[kept], train.label[kept], train.target[kept]), notes


def relabel_faces(train: Split, index: FaceIndex, file: str | Path) -> tuple[Split, list[str]]:
    """Relabel training faces from a table.

    Args:
        train: the training faces.
        index: the dataset's faces.
        file: a table with a column of image names and a column of labels, under any of the usual names
            (:mod:`mfer_lightning.data.labels.columns`). Labels are class names in any of the usual spellings.

    Returns:
        The training faces, with labels and one-hot targets from the table, and a list with one note.

    Raises:
        UserError: if the table cannot be read, a label is not a class, a face has two labels, or the table contains no
            training face.
    """
    file = Path(file).expanduser()
    if not file.is_file():
        raise UserError(f"dataset.relabel: {file} does not exist. Give a csv with the columns path and label.")
    by_class = _labels(file, index.class_names)
    label, target = train.label.copy(), train.target.copy()
    given = np.full(len(train), -1, dtype=np.int64)
    matched: list[FaceList] = []
    for k, names in by_class.items():
        try:
            found = _match("dataset.relabel", names, index, train)
        except UserError:
            if len(by_class) == 1:
                raise
            continue
        matched.append(found)
        here = np.isin(train.rows, found.rows)
        twice = here & (given >= 0)
        if twice.any():
            row = int(np.flatnonzero(twice)[0])
            raise UserError(
                f"dataset.relabel: {file.name} gives {index.path[train.rows[row]]} two labels, "
                f"{index.class_names[given[row]]} and {index.class_names[k]}. Keep one of them."
            )
        given[here] = k
    if not matched:
        names = [name for names in by_class.values() for name in names]
        _match("dataset.relabel", names, index, train)  # raises an error with all names
    changed = given >= 0
    label[changed] = given[changed]
    target[changed] = np.eye(len(index.class_names), dtype=np.float32)[given[changed]]
    differs = int((label != train.label).sum())
    have = counted(int(changed.sum()), "training face has the label", "training faces have the labels")
    words = f"dataset.relabel: {have} of {file.name} (labels changed: {differs:,})"
    return Split(train.rows, label, target), [words]


def _labels(file: Path, class_names: Sequence[str]) -> Mapping[int, list[str]]:
    """Read a table of labels; return class -> file names."""
    head = read_head(file)
    columns = find_columns(head)
    table = read_table(head, skip_header=head.has_header)
    classes = {canonical(name): k for k, name in enumerate(class_names)}
    by_class: dict[int, list[str]] = {}
    for row, (name, text) in enumerate(
        zip(table.columns[columns["path"]], table.columns[columns["label"]], strict=True)
    ):
        k = classes.get(canonical(text))
        if k is None:
            raise UserError(
                f"dataset.relabel: {file.name}, line {table.lines[row]}: {text!r} is not a class: "
                f"{nearest(text, class_names)}"
            )
        by_class.setdefault(k, []).append(name)
    if not by_class:
        raise UserError(f"dataset.relabel: {file} lists no faces. Remove the option, or list faces in the file.")
    return by_class


def _match(option: str, names: Sequence[str], index: FaceIndex, train: Split) -> FaceList:
    paths = [str(path) for path in index.path]
    return match_list("", names, paths, train.rows, index.dataset, option=option, kind=_TRAINED)


def _rest(found: FaceList) -> str:
    parts = []
    if found.elsewhere:
        parts.append(
            counted(len(found.elsewhere), "of its names is not a training face", "of its names are not training faces")
        )
    if found.unknown:
        parts.append(
            counted(len(found.unknown), "of its names is not a face", "of its names are not faces")
            + f" of {found.among}"
        )
    return f" ({'; '.join(parts)})" if parts else ""
