"""Tables of faces in photos: one row per face, with its label and box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mfer_lightning.data.labels.locate import locate_images
from mfer_lightning.data.labels.numbers import MOST_PIXELS, whole_number, whole_pixels
from mfer_lightning.data.labels.table_head import read_head
from mfer_lightning.data.labels.tables import Table, check_name, read_table, repeated_rows
from mfer_lightning.errors import UserError

#: Sides of a box, as keys of ``columns``.
CORNERS = ("left", "top", "right", "bottom")


@dataclass
class BoxedFaces:
    """Faces in the order of a table.

    Args:
        paths: paths of the photos relative to the dataset's root, spelled as on disk.
        labels: labels, from 0.
        boxes: x, y, width and height in pixels of the photo.
        rows: table row of each face.
        table: the table that was read.
        notes: information for the user.
    """

    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    table: Table | None = None
    notes: list[str] = field(default_factory=list)


def read_boxed_faces(
    path: Path, root: Path, folder: str, columns: Mapping[str, int], width: int, classes: int
) -> BoxedFaces:
    """Read a table of face boxes. Repeated rows are ignored.

    Args:
        path: the table, with or without a header.
        root: the dataset's folder.
        folder: folder that the photo names are relative to, itself relative to the root; ``"."``: the root itself.
        columns: position of ``path``, ``label``, ``left``, ``top``, ``right`` and ``bottom``.
        width: number of fields per row.
        classes: number of classes K; labels are integers from 0 to K - 1.

    Raises:
        UserError: if a row is malformed, a label is out of range, a photo's name points outside the folder, a face has
            two labels, or photos are missing.
    """
    head = read_head(path)
    form = f"{width} fields, with {', '.join(f'the {n} in field {columns[n] + 1}' for n in columns)}"
    table = read_table(head, skip_header=head.has_header, width=width, form=form)
    faces = BoxedFaces(table=table)
    seen: dict[tuple[str, tuple[int, int, int, int]], tuple[int, int]] = {}
    repeated = 0
    for row, text in enumerate(table.columns[columns["path"]]):
        label = whole_number(table.columns[columns["label"]][row])
        if label is None or not 0 <= label < classes:
            raise table.refuse(row, f"a label from 0 to {classes - 1}", table.columns[columns["label"]][row])
        box = _box([table.columns[columns[side]][row] for side in CORNERS], table, row)
        name = check_name(text, path, table.lines[row], root / folder)
        before = seen.setdefault((name, box), (label, table.lines[row]))
        if before[0] != label:
            raise UserError(
                f"{path} gives a face two labels: {name} with the box {box} is {before[0]} on line {before[1]} and "
                f"{label} on line {table.lines[row]}. Keep one of the two rows."
            )
        if before[1] != table.lines[row]:
            repeated += 1
            continue
        faces.paths.append(name if folder == "." else f"{folder}/{name}")
        faces.labels.append(label)
        faces.boxes.append(box)
        faces.rows.append(row)
    faces.paths, notes = locate_images(root, faces.paths, path)
    faces.notes = [*table.notes, *notes]
    if repeated:
        faces.notes.append(repeated_rows(repeated, path))
    return faces


def _box(texts: list[str], table: Table, row: int) -> tuple[int, int, int, int]:
    try:
        left, top, right, bottom = map(whole_pixels, texts)
    except ValueError:
        legal = f"a face box in pixels (left, top, right, bottom) with numbers up to {MOST_PIXELS}"
        raise table.refuse(row, legal, ",".join(texts)) from None
    if right <= left or bottom <= top:
        raise table.refuse(row, "a face box with a positive size", ",".join(texts))
    return left, top, right - left, bottom - top
