"""``report.csv``: one row a face, or a photo without one, appended as they are done; what a second start goes by."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.align.templates import LANDMARKS
from mfer_lightning.errors import UserError
from mfer_lightning.files import write_json

POINTS = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
#: Columns; boxes and landmarks in pixels of the photo, residual as a share of the crop's height.
COLUMNS = ["photo", "status", "output", "faces", "score", "x", "y", "width", "height", *POINTS, "residual", "message"]

#: ``status``: done; and what was not.
DONE, NO_FACE, SEVERAL, UNREADABLE, CENTRE = "aligned", "no face", "several faces", "unreadable", "centre crop"


class Report:
    """The report in an output folder, and the settings that made it.

    Args:
        folder: the output folder, made where missing.
        settings: plain values; a folder that was begun with others is refused.

    Raises:
        UserError: where the folder was begun with other settings, or cannot be written to.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.path = folder / "report.csv"
        stored = folder / "alignment.json"
        if stored.is_file():
            try:
                before = json.loads(stored.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"{stored} is damaged. Choose another output folder, or delete this one.") from error
            changed = [k for k in settings if before.get(k) != settings[k]]
            if changed:
                words = ", ".join(f"{k} was {before.get(k)}, now {settings[k]}" for k in changed)
                raise UserError(f"{folder} was begun with other settings ({words}). Choose another output folder.")
        else:
            write_json(stored, dict(settings))
        self._drop_half_a_row()

    def done(self) -> dict[str, str]:
        """Photo -> status of what an earlier start has finished."""
        if not self.path.is_file():
            return {}
        with self.path.open(newline="", encoding="utf-8") as file:
            return {row["photo"]: row["status"] for row in csv.DictReader(file)}

    def rows(self) -> list[dict[str, str]]:
        """All rows."""
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def forget(self, photos: Iterable[str]) -> None:
        """Drop the rows of photos that are to be tried again."""
        from mfer_lightning.files import atomic_path

        again = set(photos)
        kept = [row for row in self.rows() if row["photo"] not in again]
        with atomic_path(self.path) as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append the rows of one photo, whole."""
        fresh = not self.path.is_file()
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
                if fresh:
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path}: {error.strerror or error}. Free some space, then go on."
            ) from error

    def _drop_half_a_row(self) -> None:
        """Cut off what a killed process left of its last row."""
        if not self.path.is_file():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) != len(content):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
