"""Faces that ``mfer align`` has found in a dataset's photos, in a folder of their own."""

from __future__ import annotations

import shlex
from pathlib import Path

from mfer_lightning.data.alignment import NAME
from mfer_lightning.data.labels.image_files import files_in
from mfer_lightning.errors import UserError

#: Where such faces are looked for in a dataset's folder.
FOLDER = "aligned"


def aligned_folder(root: Path) -> str | None:
    """Return the folder of faces that ``mfer align`` wrote: ``aligned``, ``"."`` for the root itself, or None."""
    return next((folder for folder in (FOLDER, ".") if NAME in files_in(root / folder)), None)


def whole_photos(title: str, root: Path, or_else: str = "") -> UserError:
    """Return the error for photos whose faces must be found first.

    Args:
        title: the dataset as people call it.
        root: its folder.
        or_else: another way out, as a clause.
    """
    other = f"; or {or_else}" if or_else else ""
    source, output = shlex.quote(f"source={root}"), shlex.quote(f"output={root / FOLDER}")
    return UserError(
        f"{title} under {root} holds whole pictures, in which the faces must be found first: "
        f"mfer align {source} {output}{other}. The same command as before then reads the faces."
    )
