"""Find the image, label and split columns of a label table by their usual names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mfer_lightning.data.labels.class_folders import PARTITION_FOLDERS
from mfer_lightning.data.labels.image_files import is_image
from mfer_lightning.data.labels.table_head import Head
from mfer_lightning.errors import UserError

#: Role -> usual column names, in lower case with only letters and digits.
ROLES: Mapping[str, tuple[str, ...]] = {
    "path": (
        *("path", "paths", "pth", "file", "files", "filename", "filenames", "filepath", "fname", "relativepath"),
        *("image", "images", "imagename", "imagepath", "imagefile", "imagefilename", "img", "imgname", "imgpath"),
        *("imgfile", "photo", "picture", "facepath", "facefile", "subdirectoryfilepath"),
    ),
    "label": (
        *("label", "labels", "labelname", "class", "classname", "classlabel", "category", "target"),
        *("emotion", "emotions", "emotionlabel", "emotionname", "emotionclass", "expression", "expressions"),
        *("expressionlabel", "facialexpression"),
    ),
    "split": ("split", "usage", "partition", "set", "subset", "phase", "datasplit"),
}

_WORDS = {"path": "image names", "label": "labels", "split": "splits"}

#: Names of each partition in tables.
SPLITS = {name: partition for partition, names in PARTITION_FOLDERS.items() for name in names} | {
    "publictest": "val",  # FER2013
    "privatetest": "test",
}


def plain(name: str) -> str:
    """Reduce a column name to letters and digits.

    Example:
        >>> plain("Image name"), plain("subDirectory_filePath")
        ('imagename', 'subdirectoryfilepath')
    """
    return re.sub(r"[\W_]+", "", name.lower())


def find_columns(head: Head, given: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Find the column of each role.

    Args:
        head: beginning of the table.
        given: role -> name or position (from 0) of the column, as in ``dataset.columns``; other roles are detected.

    Returns:
        Role -> position; ``split`` only if the table has such a column.

    Raises:
        UserError: if a required role has no column, any role has several candidates, or ``given`` is invalid.
    """
    given = dict(given or {})
    unknown = set(given) - set(ROLES)
    if unknown:
        raise UserError(f"dataset.columns: {', '.join(sorted(unknown))} is not one of {', '.join(ROLES)}.")
    names = head.rows[0][1] if head.has_header else []
    found = {role: _given(head, names, column) for role, column in given.items()}
    if not names:
        return _without_header(head, found)
    for role in [role for role in ROLES if role not in found]:
        mine = [i for i, name in enumerate(names) if plain(name) in ROLES[role] and i not in found.values()]
        if len(mine) > 1:
            raise _unclear(
                head, f"several columns could contain the {_WORDS[role]}: {', '.join(names[i] for i in mine)}", found
            )
        if mine:
            found[role] = mine[0]
        elif role != "split":
            pixels = "pixels" in map(plain, names)
            usual = f"{', '.join(ROLES[role][:3])}, ...: docs/datasets.md"
            problem = f"no column has a usual name for the {_WORDS[role]} ({usual})"
            if pixels:  # FER2013
                problem = (
                    "the table contains the pixels of the images; dataset=ferplus reads such tables (fer2013.csv, "
                    "fer2013new.csv)"
                )
            raise _unclear(head, problem, found)
    return found


def _given(head: Head, names: list[str], column: Any) -> int:
    if isinstance(column, int) and not isinstance(column, bool):
        if 0 <= column < head.width:
            return column
    else:
        for same in (lambda name: name == str(column), lambda name: plain(name) == plain(str(column))):
            mine = [i for i, name in enumerate(names) if same(name)]
            if len(mine) == 1:
                return mine[0]
    raise _unclear(head, f"dataset.columns names {column}, but there is no such column", {})


def _without_header(head: Head, found: dict[str, int]) -> dict[str, int]:
    """Detect columns from the first rows: image names, possibly splits, and labels in the column that remains."""
    rest = [i for i in range(head.width) if i not in found.values()]
    rows = [fields for _, fields in head.rows if len(fields) == head.width]

    def mine(role: str, test: Any) -> None:
        fitting = [i for i in rest if rows and all(test(fields[i]) for fields in rows)]
        if role not in found and len(fitting) == 1:
            found[role] = fitting[0]
            rest.remove(fitting[0])

    mine("path", is_image)
    mine("split", lambda text: text.lower() in SPLITS)
    if "label" not in found and len(rest) == 1:
        found["label"] = rest[0]
    absent = [role for role in ("path", "label") if role not in found]
    if absent:
        raise _unclear(
            head,
            f"without a header it is unclear which of the {head.width} columns contains the {_WORDS[absent[0]]}",
            found,
        )
    return found


def _unclear(head: Head, problem: str, found: Mapping[str, int]) -> UserError:
    line, fields = head.rows[0]
    kind = "its columns" if head.has_header else "its first row"
    known = {role: fields[i] if head.has_header else i for role, i in found.items() if i < len(fields)}
    example = ", ".join(f"{role}: {known.get(role, '<column>')}" for role in ("path", "label"))
    return UserError(
        f"{head.path}, line {line}: {problem}; {kind}: {', '.join(fields)[:160]}. Use dataset.columns={{{example}}}"
        f"{'' if head.has_header else ', with columns numbered from 0'}."
    )
