"""Lists of faces by file name: read them, and match the names with faces.

RAN (Wang et al., Region Attention Networks, IEEE TIP 2020, arXiv 1905.04075) published such lists for RAF-DB, FERPlus
and AffectNet: occlusion, and pose beyond 30 and 45 degrees. They have no licence, so they are not part of this package
and are read from the user's copy.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.labels.image_files import IMAGE_SUFFIXES, is_image, some
from mfer_lightning.data.labels.table_head import read_head, read_lines
from mfer_lightning.data.labels.tables import read_table
from mfer_lightning.errors import UserError, printable
from mfer_lightning.plurals import counted

_BETWEEN = re.compile(r"[\s,;\"']+")


@dataclass(frozen=True)
class FaceList:
    """A list matched with the evaluated faces.

    Args:
        name: name given by the user.
        listed: number of distinct names in the list, without those that repeat an evaluated face.
        repeated: number of lines that repeat a name or an evaluated face.
        rows: (M,) rows of the index that are in the list and evaluated.
        elsewhere: names of the dataset's faces that are not evaluated here (another split, no label under the protocol,
            excluded by a limit).
        unknown: names that match no face of the dataset.
        among: description of the faces searched.
    """

    name: str
    listed: int
    repeated: int
    rows: NDArray[np.int64]
    elsewhere: tuple[str, ...]
    unknown: tuple[str, ...]
    among: str = "the dataset"

    def describe(self) -> str:
        """Summarise the match in a sentence."""
        are = "is a face" if len(self.rows) == 1 else "are faces"
        words = f"list {self.name}: {len(self.rows):,} of its {counted(self.listed, 'name')} {are} evaluated here"
        if self.elsewhere:
            words += f"; {counted(len(self.elsewhere), 'is another face', 'are other faces')} of "
            words += f"{self.among} ({some(self.elsewhere, 2)})"
        if self.unknown:
            words += f"; {counted(len(self.unknown), 'is not a face', 'are not faces')} of "
            words += f"{self.among} ({some(self.unknown, 2)})"
        return printable(
            words + (f"; {counted(self.repeated, 'line repeats', 'lines repeat')} a name." if self.repeated else ".")
        )


def read_names(path: str | Path, *, empty: bool = False) -> list[str]:
    """Read the file names of a list.

    A list has one face per line, as text or csv. The name may be anywhere in the line, with or without folders and
    suffix, next to labels or other columns. A header is skipped; if it has a column ``path``, the names are taken from
    that column.

    Args:
        path: the file.
        empty: return an empty list for an empty file (0 bytes) instead of raising an error.

    Returns:
        The names in order, including repetitions.

    Raises:
        UserError: if the file cannot be read, is not text, is empty, or has a column ``path`` but is not a csv.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"There is no list {path}. Give a text or csv file with one file name per line.")
    if empty and path.stat().st_size == 0:
        return []
    lines = read_lines(path)
    header = [field.strip().strip('"') for field in lines[0].split(",")]
    if "path" in header:
        table = read_table(read_head(path), skip_header=True)
        return [name for name in table.columns[header.index("path")] if name]
    names = []
    for number, line in enumerate(lines):
        fields = [field for field in _BETWEEN.split(line) if field]
        if not fields:
            continue
        name = _name(fields)
        if number == 0 and not any(ch.isdigit() for ch in name) and not _is_image(name):
            continue  # a header: file names in these datasets all contain numbers
        names.append(name)
    return names


def match_list(
    name: str,
    names: Sequence[str],
    paths: Sequence[str],
    measured: NDArray[np.int64],
    among: str = "the dataset",
    *,
    option: str | None = None,
    kind: str = "face evaluated here",
) -> FaceList:
    """Match the names of a list with faces.

    A name that equals the whole path of a single face matches that face. For other names, folders, suffix, case and a
    final ``_aligned`` are ignored. If several faces match, they are distinguished by their folders, and then by which
    of them are in ``measured``. If more than one face remains, the name matches none.

    Args:
        name: name of the list.
        names: the result of :func:`read_names`.
        paths: (N,) paths of all faces of the index.
        measured: rows of the index that the list is meant for, such as those of the evaluated faces.
        among: description of the faces in ``paths``.
        option: the option that gave the list, for the message; None: ``lists.<name>``.
        kind: description of a face in ``measured``, for the message.

    Returns:
        The match.

    Raises:
        UserError: if no name matches a face in ``measured``.

    Example:
        >>> found = match_list("occlusion", ["b.jpg 1", "z"], ["x/a.jpg", "x/b_aligned.jpg"], np.array([0, 1]))
        >>> found.rows.tolist(), found.unknown
        ([1], ('z',))
    """
    by_stem: dict[str, list[int]] = {}
    for row, path in enumerate(paths):
        by_stem.setdefault(_stem(path), []).append(row)
    often = Counter(paths)  # if a photo has several faces, its path does not identify one of them
    whole = {path: row for row, path in enumerate(paths) if often[path] == 1}
    here = set(measured.tolist())
    rows: dict[int, None] = {}
    seen: set[str] = set()
    elsewhere: list[str] = []
    unknown: list[str] = []
    repeated = 0
    for entry in names:
        # a name may contain spaces, and a word of it may be the name of another face
        one = _is_image(entry) or _stem(entry) in by_stem
        text = entry if one else _name([field for field in _BETWEEN.split(entry) if field] or [""])
        key = text if text in whole else "/".join((*_folders(text), _stem(text)))
        if key in seen:
            repeated += 1
            continue
        seen.add(key)
        candidates = by_stem.get(_stem(text), [])
        found = whole[text] if text in whole else _one(text, candidates, paths)
        if found is None:  # several faces with that name: use the one in `measured` if it is unique
            found = _one(text, [row for row in candidates if row in here], paths)
        if found is None:
            unknown.append(text)
        elif found not in here:
            elsewhere.append(text)
        elif found in rows:
            repeated += 1
        else:
            rows[found] = None
    if not rows:
        like = f"; faces of {among} have names like {paths[int(measured[0])]}" if len(measured) else ""
        first = f"the first of {counted(len(seen), 'name')} is {names[0]}" if names else "it contains no names"
        raise UserError(
            printable(f"{option or f'lists.{name}'}: none of its names is a {kind} ({first}{like}). ")
            + "Is it the list of this dataset, and of this split?"
        )
    listed = len(rows) + len(elsewhere) + len(unknown)
    measured_rows = np.array(sorted(rows), dtype=np.int64)
    return FaceList(name, listed, repeated, measured_rows, tuple(elsewhere), tuple(unknown), among)


def _name(fields: Sequence[str]) -> str:
    """Select the field that is most likely a file name: one with an image suffix, else with letters and digits."""
    images = [field for field in fields if _is_image(field)]
    mixed = [f for f in fields if any(c.isdigit() for c in f) and any(c.isalpha() for c in f)]
    return (images or mixed or list(fields))[0]


def _is_image(text: str) -> bool:
    return is_image(text)


def _folders(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").lower().split("/")[:-1] if part not in ("", ".", "..")]


def _stem(path: str) -> str:
    name = path.replace("\\", "/").lower().rpartition("/")[2]
    stem, ending = posixpath.splitext(name)
    return (stem if ending in IMAGE_SUFFIXES else name).removesuffix("_aligned")


def _one(text: str, rows: Sequence[int], paths: Sequence[str]) -> int | None:
    """Select one of several faces with the same name by its folders, innermost first; None if several remain."""
    folders = _folders(text)
    candidates = list(rows)
    for back in range(1, len(folders) + 1):
        if len(candidates) < 2:
            break
        nearer = [row for row in candidates if _folders(paths[row])[-back:] == folders[-back:]]
        candidates = nearer or candidates
    return candidates[0] if len(candidates) == 1 else None
