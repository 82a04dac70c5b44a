"""Faces that ``mfer align`` has extracted from the photos of a dataset and written to a separate folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from mfer_lightning.data.alignment import NAME
from mfer_lightning.data.labels.image_files import files_in
from mfer_lightning.errors import UserError

#: Usual subfolder for such faces in the folder of a dataset.
FOLDER = "aligned"


def aligned_folder(root: Path) -> str | None:
    """Return the folder of faces written by ``mfer align``: ``"aligned"``, ``"."`` (the root), or None."""
    return next((folder for folder in (FOLDER, ".") if NAME in files_in(root / folder)), None)


def whole_photos(title: str, root: Path, or_else: str = "") -> UserError:
    """Return the error for photos whose faces must be detected first.

    Args:
        title: usual name of the dataset.
        root: its folder.
        or_else: an alternative, as a clause.
    """
    other = f"; or {or_else}" if or_else else ""
    source, output = shlex.quote(f"source={root}"), shlex.quote(f"output={root / FOLDER}")
    return UserError(
        f"{title} under {root} contains whole photos. Detect the faces first: "
        f"mfer align {source} {output}{other}. Then repeat your command."
    )
