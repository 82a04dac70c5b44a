"""Write ``report.csv``: one row per aligned face, and one for each photo without any, appended photo by photo."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from mfer_lightning.align.templates import LANDMARKS
from mfer_lightning.errors import UserError
from mfer_lightning.files import atomic_path, changed_settings, drop_partial_line, write_error

POINTS = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
#: Columns. Boxes and landmarks are in pixels of the photo, the residual is a fraction of the crop's height.
COLUMNS = ["photo", "status", "output", "faces", "score", "x", "y", "width", "height", *POINTS, "residual", "message"]

#: Values of ``status``.
DONE, NO_FACE, SEVERAL, UNREADABLE, CENTRE = "aligned", "no face", "several faces", "unreadable", "centre crop"


class Report:
    """The report in an output folder, and the settings of its faces (``alignment.json``).

    Args:
        folder: the output folder, created if it is missing.
        settings: plain values, stored in ``alignment.json``.

    Raises:
        UserError: if the folder was started with other settings, or is not writable.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.path = folder / "report.csv"
        changed = changed_settings(folder / "alignment.json", settings)
        if changed:
            words = ", ".join(f"{key} was {before}, now {settings[key]}" for key, before in changed.items())
            raise UserError(f"{folder} was started with other settings ({words}). Choose another output folder.")
        drop_partial_line(self.path)

    def rows(self) -> list[dict[str, str]]:
        """Read all rows."""
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def done(self) -> dict[str, str]:
        """Return photo -> status for the photos finished in an earlier run."""
        return {row["photo"]: row["status"] for row in self.rows()}

    def forget(self, photos: Set[str]) -> None:
        """Remove the rows of photos that will be retried.

        Raises:
            UserError: if the report cannot be written.
        """
        kept = [row for row in self.rows() if row["photo"] not in photos]
        with atomic_path(self.path) as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append the rows of one photo.

        Raises:
            UserError: if the report cannot be written.
        """
        fresh = not self.path.is_file()
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
                if fresh:
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise write_error(f"write {self.path}", error, "choose another folder with output=<folder>") from error
