"""The lists of AffectNet's first release: one row per face, with its box in a photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path

from mfer_lightning.data.labels.image_files import is_image
from mfer_lightning.data.labels.locate import locate_images
from mfer_lightning.data.labels.numbers import whole_number
from mfer_lightning.data.labels.table_head import Head, malformed, read_head
from mfer_lightning.data.labels.tables import Table, check_name, read_table
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: Possible locations of each part's list.
LISTS: Mapping[str, tuple[str, ...]] = {
    part: (file, f"Manually_Annotated_file_lists/{file}")
    for part, file in (("train", "training.csv"), ("val", "validation.csv"))
}

#: Possible locations of the photos.
IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")

#: The columns in the order of the lists; some copies of validation.csv have no header.
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_NEEDED = (*COLUMNS[:5], "expression")
_AFFECT = ("valence", "arousal")
_LAST_CODE = 10


@dataclass
class CsvFaces:
    """Faces with an emotion and a box, in the order of the lists.

    Args:
        rows: photo (relative to the root of the dataset), partition, and AffectNet's code of the emotion.
        box: x, y, width and height of the face in the photo.
        affect: ``valence`` and ``arousal``, NaN if a face was not rated; a dimension that a list lacks is left out.
        notes: information for the user.
    """

    rows: list[tuple[str, str, int]] = field(default_factory=list)
    box: list[tuple[int, int, int, int]] = field(default_factory=list)
    affect: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_lists(lists: Mapping[str, Path], root: Path, folder: str, classes: int) -> CsvFaces:
    """Read the lists.

    Args:
        lists: partition -> file.
        root: the dataset's folder.
        folder: folder of the photos, relative to the root.
        classes: number of classes; faces with a code of this or more are dropped, as are faces without a box (marked by
            a negative width).

    Raises:
        UserError: if a row is malformed, a code is out of range, a photo's name points outside the folder, a list
            contains a face (a photo and a box) twice, or photos are missing.
    """
    faces = CsvFaces()
    affect: list[tuple[float | None, ...]] = []
    base = root / folder
    for partition, path in lists.items():
        head = read_head(path)
        place, is_header = _columns(head)
        used = [place[name] for name in (*_NEEDED, *_AFFECT) if name in place]
        table = read_table(head, skip_header=is_header, width=max(used) + 1, use=sorted(used))
        photos, codes, *sides = (table.columns[place[n]] for n in (COLUMNS[0], "expression", *COLUMNS[1:5]))
        first: dict[tuple[str, tuple[int, int, int, int]], int] = {}
        names: list[str] = []
        start = len(faces.rows)
        for row, text in enumerate(codes):
            code = _code(text, table, row)
            if code >= classes:
                continue
            box = _box([side[row] for side in sides], table, row)
            if box[2] < 0:
                continue
            line = table.lines[row]
            name = check_name(photos[row], path, line, base)
            other = first.setdefault((name, box), line)
            if other != line:
                raise UserError(
                    f"{path} lists a face twice: {name} with the box {box} on lines {other} and {line}. "
                    "Keep one of the two rows."
                )
            names.append(f"{folder}/{name}")
            faces.rows.append((names[-1], partition, code))
            faces.box.append(box)
            affect.append(tuple(_affect(table, row, place.get(n)) for n in _AFFECT))
        found, notes = locate_images(root, names, path)
        faces.rows[start:] = [(name, partition, row[2]) for name, row in zip(found, faces.rows[start:], strict=True)]
        faces.notes += [*table.notes, *notes]
    for i, name in enumerate(_AFFECT):
        column = [row[i] for row in affect]
        known = [value for value in column if value is not None]
        if len(known) == len(column) and not all(map(isnan, known)):
            faces.affect[name] = known
    return faces


def _columns(head: Head) -> tuple[dict[str, int], bool]:
    """Return the position of each column, and whether the first row is a header."""
    line, names = head.rows[0]
    if names[0] != COLUMNS[0] and is_image(names[0]):
        if len(names) != len(COLUMNS):
            raise malformed(
                head.path, line, f"the {len(COLUMNS)} columns {', '.join(COLUMNS)}", counted(len(names), "field")
            )
        return {name: i for i, name in enumerate(COLUMNS)}, False
    absent = [name for name in _NEEDED if name not in names]
    if absent:
        raise malformed(head.path, line, f"AffectNet's columns (missing: {', '.join(absent)})", ",".join(names)[:120])
    return {name: i for i, name in enumerate(names)}, True


def _code(text: str, table: Table, row: int) -> int:
    code = whole_number(text)
    if code is None or code < 0:
        raise table.refuse(row, f"an expression from 0 to {_LAST_CODE}", text)
    if code > _LAST_CODE:
        raise UserError(
            f"{table.head.path}, line {table.lines[row]}: the expression {text} is out of range. AffectNet's codes are "
            "0 (neutral) to 7 (contempt), 8 none, 9 uncertain and 10 no face. Download the list again."
        )
    return code


#: Largest absolute value of a side or position of a face box; no photo is larger.
MOST_PIXELS = 1_000_000


def _box(texts: Sequence[str], table: Table, row: int) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = sides = tuple(int(float(text)) for text in texts)
    except (ValueError, OverflowError):
        sides = (MOST_PIXELS + 1,)
    if any(abs(side) > MOST_PIXELS for side in sides):
        raise table.refuse(row, "a face box in pixels (x, y, width, height)", ",".join(texts))
    if width == 0 or (width > 0 and height <= 0):
        raise table.refuse(row, "a face box with a positive size", ",".join(texts))
    return x, y, width, height


def _affect(table: Table, row: int, column: int | None) -> float | None:
    if column is None:
        return None
    text = table.columns[column][row]
    try:
        return known_affect(float(text))
    except ValueError:
        raise table.refuse(row, "valence and arousal as numbers", text) from None


def known_affect(value: float) -> float:
    """Return a valence or arousal within [-1, 1] unchanged, and NaN for other values; -2 marks faces without a rating.

    Example:
        >>> known_affect(0.5), known_affect(-2.0)
        (0.5, nan)
    """
    return value if -1 <= value <= 1 else nan
