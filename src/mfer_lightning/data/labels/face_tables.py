"""Find and read tables of images and labels in common formats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.labels.columns import SPLITS, find_columns
from mfer_lightning.data.labels.image_files import files_in, is_image
from mfer_lightning.data.labels.locate import locate_images
from mfer_lightning.data.labels.numbers import is_number
from mfer_lightning.data.labels.table_head import Head, read_head
from mfer_lightning.data.labels.tables import check_name, check_unique, read_table, repeated_rows
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: Suffixes of files that may be tables. A file that is not a table is reported only if it is a csv file or lists
#: images.
SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".lst", ".list")

#: Maximum length of the values of an attribute in characters; columns with longer values (landmarks, URLs) are ignored.
LONGEST_ATTRIBUTE = 64


@dataclass(frozen=True)
class FoundTable:
    """A file that may be a table of images and labels.

    Args:
        path: the file.
        head: beginning of the file.
        columns: role -> position; empty if it is not such a table.
        problem: why it is not such a table; empty if it is.
        names_images: whether some fields are image names.
    """

    path: Path
    head: Head | None
    columns: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    names_images: bool = False


@dataclass
class TableFaces:
    """Rows of one or several tables.

    Args:
        paths: paths of the images relative to the dataset's root, spelled as on disk.
        partitions: train, val or test.
        labels: labels as written.
        attributes: column -> one value per face, for other columns that all tables have.
        notes: information for the user.
    """

    paths: list[str] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    attributes: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the attributes as arrays: float32 if all values are numbers and one has a decimal point, else text."""
        found = {}
        for name, values in self.attributes.items():
            numbers = all(is_number(v) and "," not in v for v in values) and any("." in v for v in values)
            found[name] = np.array(values, dtype=np.float32 if numbers else str)
        return found


def inspect(path: Path, columns: Mapping[str, Any] | None = None) -> FoundTable:
    """Check whether a file is a table of images and labels.

    Args:
        path: the file.
        columns: role -> column, as given by the user; None: detect.

    Raises:
        UserError: if it cannot be read, is not text, or is empty.
    """
    head = read_head(path)
    named = any(is_image(text) for _, fields in head.rows for text in fields)
    try:
        return FoundTable(path, head, find_columns(head, columns), "", named)
    except UserError as error:
        return FoundTable(path, head, {}, str(error), named)


def find_tables(root: Path, columns: Mapping[str, Any] | None = None) -> list[FoundTable]:
    """Inspect the files of a folder that may be tables of images and labels; ignore other text files.

    Args:
        root: the folder.
        columns: role -> column, as given by the user; None: detect.

    Raises:
        UserError: if a csv cannot be read, is not text, or is empty.
    """
    found = []
    names = files_in(root)
    for name in sorted(names):
        suffix = Path(name).suffix.lower()
        if name[0] == "." or suffix not in SUFFIXES or (name == "report.csv" and "alignment.json" in names):
            continue  # report.csv of mfer align
        try:
            table = inspect(root / name, columns)
        except UserError:
            if suffix == ".csv":
                raise
            continue
        if suffix == ".csv" or table.names_images:
            found.append(table)
    return found


def partition_of(path: Path) -> str | None:
    """Return the partition that a file name contains, or None if it contains none or several.

    Example:
        >>> partition_of(Path("train_labels.csv")), partition_of(Path("labels.csv"))
        ('train', None)
    """
    words = [SPLITS[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in SPLITS]
    return words[0] if len(words) == 1 else None


def read_faces(tables: Sequence[FoundTable], root: Path) -> TableFaces:
    """Read one table, or one table per partition.

    Args:
        tables: tables with their columns.
        root: folder that the image paths are relative to.

    Raises:
        UserError: if a row is malformed, an image is listed twice (except in rows of one table with the same label and
            split), or an image is missing or outside of the root.
    """
    faces = TableFaces()
    seen: set[str] = set()
    for table in tables:
        start = len(faces.paths)
        _read_one(table, root, partition_of(table.path) if len(tables) > 1 else None, faces)
        twice = next((path for path in faces.paths[start:] if path in seen), None)
        if twice is not None:
            raise UserError(f"{table.path} lists {twice}, which another table in {root} also lists: keep one of them.")
        seen.update(faces.paths[start:])
    lengths = {name: len(values) for name, values in faces.attributes.items()}
    for name in [name for name, length in lengths.items() if length != len(faces.paths)]:
        del faces.attributes[name]  # not all tables have the column
    return faces


def _read_one(found: FoundTable, root: Path, partition: str | None, faces: TableFaces) -> None:
    assert found.head is not None
    path, at = found.path, found.columns
    names = found.head.rows[0][1] if found.head.has_header else []
    form = f"{counted(len(names), 'field')} ({','.join(names)})" if names else ""
    table = read_table(found.head, skip_header=bool(names), form=form[:160])
    lines = table.lines
    paths, labels = table.columns[at["path"]], table.columns[at["label"]]
    paths = [check_name(name, path, line, root) for name, line in zip(paths, lines, strict=True)]
    splits = (
        [text.lower() for text in table.columns[at["split"]]] if "split" in at else [partition or "train"] * len(table)
    )
    for row in range(len(table)):
        if not paths[row] or labels[row].lower() in ("", "nan"):
            raise table.refuse(row, "a path and a label", ",".join(table.columns[i][row] for i in table.columns)[:120])
        if splits[row] not in SPLITS:
            raise table.refuse(row, "train, val or test as the split", splits[row])
    rows = list(zip(paths, labels, splits, strict=True))
    kept = sorted({row: i for i, row in reversed(list(enumerate(rows)))}.values())  # keep the first of equal rows
    paths, labels, splits = ([column[i] for i in kept] for column in (paths, labels, splits))
    check_unique(paths, [lines[i] for i in kept], path)
    paths, notes = locate_images(root, paths, path, search=True)
    if len(kept) < len(rows):
        notes = (*notes, repeated_rows(len(rows) - len(kept), path))
    apart = {folder for name in paths if (folder := name.partition("/")[0].lower()) in SPLITS}
    if "split" not in at and partition is None and len({SPLITS[folder] for folder in apart}) > 1:
        where = ", ".join(sorted(apart))
        notes = (*notes, f"{path.name} has no split column, so all faces in {where} are used for training")
    faces.paths += paths
    faces.labels += labels
    faces.partitions += [SPLITS[split] for split in splits]
    faces.notes += [*table.notes, *notes]
    for i, name in enumerate(names):
        if i in at.values() or not name or name.lower().startswith("unnamed:"):  # index column of pandas
            continue
        if max(map(len, table.columns[i]), default=0) <= LONGEST_ATTRIBUTE:
            faces.attributes.setdefault(name, []).extend(table.columns[i][row] for row in kept)
