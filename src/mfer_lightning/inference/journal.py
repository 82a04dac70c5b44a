"""``predictions.jsonl``: one line a photo or frame, appended as they are done; what a second start goes by."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mfer_lightning.errors import FORMULA, UserError
from mfer_lightning.files import atomic_path, write_json
from mfer_lightning.inference.results import STATUSES, Prediction
from mfer_lightning.inference.tables import columns

LINES, TABLE, SETTINGS = "predictions.jsonl", "predictions.csv", "predict.json"

#: What says which state of a file a line is about.
Stamp = tuple[int, int]


class Journal:
    """The predictions in an output folder, and the settings that made them.

    Use it as a context; the table is written when it ends, whether all was done or not.

    Args:
        folder: the output folder, made where missing.
        settings: plain values; a folder that was begun with others is refused.
        class_names: of the model.
        video: the lines are frames.
        afresh: drop what an earlier start wrote.

    Raises:
        UserError: where the folder was begun with other settings, is damaged, or cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        class_names: Sequence[str],
        *,
        video: bool = False,
        afresh: bool = False,
    ) -> None:
        self.folder = folder
        self.path = folder / LINES
        self._class_names = set(class_names)
        self._columns = columns(class_names, video=video)
        self._file: IO[str] | None = None
        stored = folder / SETTINGS
        if stored.is_file():
            _compare(stored, settings)
        else:
            write_json(stored, dict(settings))
        if afresh:
            self.path.unlink(missing_ok=True)
        self._drop_half_a_line()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self.write_table()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Read line after line.

        Raises:
            UserError: where one is damaged.
        """
        for line, _ in self._read():
            yield line

    def done(self) -> dict[str, tuple[Stamp, str]]:
        """Key -> stamp of the file and status, of what an earlier start has finished."""
        return {line["key"]: ((line.get("bytes", 0), line.get("modified", 0)), line["status"]) for line in self.lines()}

    def forget(self, keys: Collection[str]) -> None:
        """Drop the lines of photos that are to be looked at again."""
        if not keys:
            return
        gone = set(keys)
        with atomic_path(self.path) as path, path.open("w", encoding="utf-8") as file:
            for line in self.lines():
                if line["key"] not in gone:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def append(self, key: str, prediction: Prediction, stamp: Stamp = (0, 0)) -> None:
        """Append one photo or frame, whole."""
        line = {"key": key, **prediction.to_dict(), "bytes": stamp[0], "modified": stamp[1]}
        try:
            if self._file is None:
                self._file = self.path.open("a", encoding="utf-8")
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path}: {error.strerror or error}. Free some space, then go on."
            ) from error

    def predictions(self) -> Iterator[Prediction]:
        """Read prediction after prediction."""
        for _, prediction in self._read():
            yield prediction

    def _read(self) -> Iterator[tuple[dict[str, Any], Prediction]]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                try:
                    line = json.loads(text.decode("utf-8"))
                    prediction = Prediction.from_dict(line)
                    self._check(line["key"], prediction)
                except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
                    raise UserError(
                        f"{self.path}, line {number}, is damaged. Delete this line, or choose another output folder."
                    ) from error
                yield line, prediction

    def _check(self, key: Any, prediction: Prediction) -> None:
        named = all(set(face.shown) == set(face.probabilities) == self._class_names for face in prediction.faces)
        if not (isinstance(key, str) and prediction.status in STATUSES and named and prediction.rows()):
            raise ValueError("it is no prediction of this model")

    def write_table(self) -> Path:
        """Write ``predictions.csv``: one row a face, or one that says why there is none."""
        table = self.folder / TABLE
        with atomic_path(table) as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval="", lineterminator="\n")
            writer.writeheader()
            for prediction in self.predictions():
                writer.writerows({**row, "path": _no_formula(row["path"])} for row in prediction.rows())
        return table

    def _drop_half_a_line(self) -> None:
        """Cut off what a killed process left of its last line."""
        if not self.path.is_file():
            return
        with self.path.open("r+b") as file:
            size = position = file.seek(0, 2)
            while position > 0:
                start = max(0, position - (1 << 16))
                file.seek(start)
                at = file.read(position - start).rfind(b"\n")
                if at >= 0:
                    position = start + at + 1
                    break
                position = start
            if position != size:
                file.truncate(position)


def _no_formula(path: str | None) -> str | None:
    """Write a path so that no spreadsheet takes it for a formula; it stays a path to the same file."""
    return f"./{path}" if path is not None and path.startswith(FORMULA) else path


def _compare(stored: Path, settings: Mapping[str, Any]) -> None:
    try:
        before = json.loads(stored.read_text(encoding="utf-8"))
        changed = [key for key in settings if before.get(key) != settings[key] and key != "checkpoint"]
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{stored} is damaged. Choose another output folder, or delete this one.") from error
    if "model" in changed:
        raise UserError(
            f"{stored.parent} holds predictions of another checkpoint ({before.get('checkpoint')}). Choose another "
            "folder with output=..., or delete this one."
        )
    if changed:
        words = ", ".join(f"{key} was {before.get(key)}, now {settings[key]}" for key in changed)
        raise UserError(f"{stored.parent} was begun with other settings ({words}). Choose another with output=...")
