"""The lists of AffectNet's first release: one row a face, with its box in a photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mfer_lightning.data.labels.image_files import IMAGE_SUFFIXES
from mfer_lightning.data.labels.tables import check_name, malformed, read_csv
from mfer_lightning.errors import UserError

#: Where the list of each part is looked for.
LISTS: Mapping[str, tuple[str, ...]] = {
    part: (file, f"Manually_Annotated_file_lists/{file}")
    for part, file in (("train", "training.csv"), ("val", "validation.csv"))
}

#: Where the photos are looked for.
IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")

#: The columns in the order in which the lists have them; some copies of validation.csv come without their names.
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
        rows: photo (relative to the dataset's root), partition, and AffectNet's number of the emotion.
        box: x, y, width and height of the face in the photo.
        affect: valence and arousal, where the lists have them.
    """

    rows: list[tuple[str, str, int]] = field(default_factory=list)
    box: list[tuple[int, int, int, int]] = field(default_factory=list)
    affect: dict[str, list[float]] = field(default_factory=dict)


def read_lists(lists: Mapping[str, Path], folder: str, classes: int) -> CsvFaces:
    """Read the lists.

    Args:
        lists: partition -> file.
        folder: that the photos are in, relative to the dataset's root.
        classes: faces with a code of this or above are left out, as are faces without a box (a negative width).

    Raises:
        UserError: where a row is malformed, a code is out of range, a photo's name leaves the folder, or a list holds a
            face (a photo and a box) twice.
    """
    faces = CsvFaces()
    affect: list[tuple[float | None, ...]] = []
    for partition, path in lists.items():
        place: dict[str, int] | None = None
        first: dict[tuple[str, tuple[int, int, int, int]], int] = {}
        for line, fields in read_csv(path):
            if place is None:
                place, is_header = _columns(fields, path, line)
                if is_header:
                    continue
            if len(fields) <= max(place.values()):
                raise malformed(path, line, f"{max(place.values()) + 1} fields", f"{len(fields)} fields")
            code = _code(fields[place["expression"]].strip(), path, line)
            if code >= classes:
                continue
            box = _box(fields, place, path, line)
            if box[2] < 0:
                continue
            name = check_name(fields[place["subDirectory_filePath"]], path, line)
            other = first.setdefault((name, box), line)
            if other != line:
                raise UserError(
                    f"{path} lists a face twice: {name} with the box {box} on lines {other} and {line}. "
                    "Leave one of the two rows."
                )
            faces.rows.append((f"{folder}/{name}", partition, code))
            faces.box.append(box)
            affect.append(tuple(_number(fields, place[n], path, line) if n in place else None for n in _AFFECT))
    for i, name in enumerate(_AFFECT):
        column = [row[i] for row in affect]
        if all(value is not None for value in column):
            faces.affect[name] = [float(value) for value in column if value is not None]
    return faces


def _columns(fields: list[str], path: Path, line: int) -> tuple[dict[str, int], bool]:
    """Return where each column is, and whether this row was the header that says so."""
    names = [name.strip() for name in fields]
    if names[0] != COLUMNS[0] and PurePosixPath(names[0]).suffix.lower() in IMAGE_SUFFIXES:
        if len(names) != len(COLUMNS):
            raise malformed(path, line, f"the {len(COLUMNS)} columns {', '.join(COLUMNS)}", f"{len(names)} fields")
        return {name: i for i, name in enumerate(COLUMNS)}, False
    absent = [name for name in _NEEDED if name not in names]
    if absent:
        raise malformed(
            path, line, f"AffectNet's columns, of which {', '.join(absent)} are absent", ",".join(names)[:120]
        )
    return {name: i for i, name in enumerate(names)}, True


def _code(text: str, path: Path, line: int) -> int:
    if not text.isdecimal():
        raise malformed(path, line, f"an expression from 0 to {_LAST_CODE}", text)
    if int(text) > _LAST_CODE:
        raise UserError(
            f"{path}, line {line}: the expression {text} is out of range. AffectNet's codes are 0 (neutral) to 7 "
            f"(contempt), 8 none, 9 uncertain and 10 no face. Fetch the list anew."
        )
    return int(text)


def _box(fields: list[str], place: Mapping[str, int], path: Path, line: int) -> tuple[int, int, int, int]:
    texts = [fields[place[name]].strip() for name in COLUMNS[1:5]]
    try:
        x, y, width, height = (int(float(text)) for text in texts)
    except (ValueError, OverflowError):
        raise malformed(path, line, "a face box in pixels (x, y, width, height)", ",".join(texts)) from None
    if width == 0 or (width > 0 and height <= 0):
        raise malformed(path, line, "a face box of some size", ",".join(texts))
    return x, y, width, height


def _number(fields: list[str], column: int, path: Path, line: int) -> float:
    try:
        return float(fields[column])
    except ValueError:
        raise malformed(path, line, "valence and arousal as numbers", fields[column]) from None
