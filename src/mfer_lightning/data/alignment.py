"""Read the alignment settings that ``mfer align`` saved next to the faces of a folder."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from mfer_lightning.data.index import FaceIndex
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

NAME = "alignment.json"

#: Faces count as aligned alike if these fields are equal. The detector, the choice of faces and the file format may
#: differ.
_SAME = ("template", "height", "margin", "border", "refine")


def read_alignment(index: FaceIndex) -> tuple[dict[str, Any] | None, list[str]]:
    """Read ``alignment.json`` from the folder of the faces, or from the nearest parent within the root of the dataset.

    Args:
        index: the faces.

    Returns:
        The settings that apply to most faces, or None if there is no such file; and notes for the user, as sentences.

    Raises:
        UserError: if a file is damaged.
    """
    root = Path(index.root)
    if root.is_file():  # a csv of paths
        root = root.parent
    folders = Counter(str(path).rpartition("/")[0] for path in index.path)
    found: dict[Path | None, int] = {}
    for folder, faces in folders.items():
        file = _nearest(root / folder, root)
        found[file] = found.get(file, 0) + faces
    files = [file for file in found if file is not None]
    if not files:
        return None, []
    chosen = max(files, key=lambda file: found[file])
    settings = _load(chosen)
    notes = []
    if found.get(None):
        notes.append(
            counted(
                found[None],
                f"face has no {NAME} in its folder; it is assumed to be aligned like the others",
                f"faces have no {NAME} in their folder; they are assumed to be aligned like the others",
            )
        )
    different = [f for f in files if any(_load(f).get(key) != settings.get(key) for key in _SAME)]
    if different:
        faces = sum(found[f] for f in different)
        words = counted(faces, "face was", "faces were")
        notes.append(f"{words} aligned differently from the others ({different[0]}): align all faces again")
    return settings, notes


def _nearest(folder: Path, root: Path) -> Path | None:
    for place in (folder, *folder.parents):
        if (place / NAME).is_file():
            return place / NAME
        if place == root:
            break
    return None


def _load(file: Path) -> dict[str, Any]:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        int(settings["height"]), str(settings["template"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{file} is damaged. Align the faces again with mfer align, or delete the file.") from error
    return dict(settings)
