"""The files of an output folder of ``mfer predict``: ``predict.json``, ``predictions.jsonl``, ``predictions.csv``.

``predictions.jsonl`` gets one line per photo or frame as soon as it is done. A repeated command skips these photos,
except those of an incomplete batch: the last digits of a probability depend on the size of its batch, and the results
must be those of an uninterrupted command.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from mfer_lightning.errors import FORMULA, UserError
from mfer_lightning.files import atomic_path, changed_settings, drop_partial_line, write_error
from mfer_lightning.inference.result_columns import columns
from mfer_lightning.inference.results import STATUSES, Prediction, Predictions

LINES, TABLE, SETTINGS = "predictions.jsonl", "predictions.csv", "predict.json"
#: Entry of a line after which other photos of the same batch follow.
_MORE = "batch_continues"

#: Size and modification time of a file, which identify its state.
Stamp = tuple[int, int]


class Done(NamedTuple):
    """What an earlier command has finished for a photo.

    Args:
        stamp: state of the file.
        status: status of the prediction.
        whole: whether its batch is complete; it is not if the command was interrupted.
    """

    stamp: Stamp
    status: str
    whole: bool


def stamp_of(path: Path) -> Stamp:
    """Return size in bytes and modification time in nanoseconds of a file.

    Raises:
        OSError: if it cannot be read.
    """
    facts = path.stat()
    return int(facts.st_size), int(facts.st_mtime_ns)


class Journal(AbstractContextManager["Journal"]):
    """The predictions in an output folder, and the settings they were made with.

    Use it as a context manager. The table is written on exit, even if not all photos were processed.

    Args:
        folder: the output folder, created if missing.
        settings: plain values; a folder started with other settings is rejected.
        class_names: class names of the model.
        video: whether the lines are frames of a video.
        afresh: delete what an earlier command wrote.

    Raises:
        UserError: if the folder was started with other settings, is damaged, or cannot be written to.
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
        self._class_names, self._video = tuple(class_names), video
        self._file: IO[str] | None = None
        changed = changed_settings(folder / SETTINGS, settings)
        checkpoint = changed.pop("checkpoint", settings.get("checkpoint"))
        if "model" in changed:
            raise UserError(
                f"{folder} contains predictions of another checkpoint ({checkpoint}). Choose another folder with "
                "output=..., or delete this one."
            )
        if changed:
            words = ", ".join(f"{key} was {before}, now {settings[key]}" for key, before in changed.items())
            raise UserError(f"{folder} was started with other settings ({words}). Use another folder: output=...")
        if afresh:
            self.path.unlink(missing_ok=True)
        drop_partial_line(self.path)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self.write_table()

    def done(self) -> dict[str, Done]:
        """Read what earlier commands have finished, by key."""
        found = {}
        for batch in self._batches():
            whole = not _continues(batch[-1])
            for line in batch:
                found[line["key"]] = Done((line.get("bytes", 0), line.get("modified", 0)), line["status"], whole)
        return found

    def forget(self, keys: Set[str]) -> None:
        """Delete the lines of photos to predict again. The rest of their batches counts as complete."""
        if not keys:
            return
        with atomic_path(self.path) as path, path.open("w", encoding="utf-8") as file:
            for batch in self._batches():
                kept = [line for line in batch if line["key"] not in keys]
                if kept:
                    kept[-1].pop(_MORE, None)
                for line in kept:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def append(self, key: str, prediction: Prediction, stamp: Stamp = (0, 0), *, ends_batch: bool = True) -> None:
        """Append one photo or frame.

        Args:
            key: identifies the photo or frame.
            prediction: its prediction.
            stamp: state of the file.
            ends_batch: whether it is the last photo of its batch.

        Raises:
            UserError: if the file cannot be written.
        """
        line = {"key": key, **prediction.to_dict(), "bytes": stamp[0], "modified": stamp[1]}
        if not ends_batch:
            line[_MORE] = True
        try:
            if self._file is None:
                self._file = self.path.open("a", encoding="utf-8")
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise write_error(f"write {self.path}", error, "choose another folder with output=<folder>") from error

    def predictions(self) -> Iterator[Prediction]:
        """Read the predictions one by one."""
        return (prediction for _, prediction in self._read())

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        """Read the lines of each batch; the last batch may be incomplete."""
        batch: list[dict[str, Any]] = []
        for line, _ in self._read():
            batch.append(line)
            if not _continues(line):
                yield batch
                batch = []
        if batch:
            yield batch

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
                        f"{self.path}, line {number}, is damaged. Delete this line, or set another output folder."
                    ) from error
                yield line, prediction

    def _check(self, key: Any, prediction: Prediction) -> None:
        named = all(set(face.shown) == set(face.probabilities) == set(self._class_names) for face in prediction.faces)
        if not (isinstance(key, str) and prediction.status in STATUSES and named and prediction.rows()):
            raise ValueError("it is not a prediction of this model")

    def write_table(self) -> None:
        """Write ``predictions.csv``: one row per face; for photos without faces, one row with the reason."""
        first = next((face for prediction in self.predictions() for face in prediction), None)
        affect = first is not None and bool(first.affect)
        uncertain = first is not None and first.threshold is not None
        names = columns(self._class_names, video=self._video, valence_arousal=affect, uncertain=uncertain)
        with atomic_path(self.folder / TABLE) as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
            writer.writeheader()
            for prediction in self.predictions():
                writer.writerows({**row, "path": _no_formula(row["path"])} for row in prediction.rows())


def _continues(line: Mapping[str, Any]) -> bool:
    return line.get(_MORE) is True


def _no_formula(path: str | None) -> str | None:
    """Format a path so that no spreadsheet treats it as a formula; it still refers to the same file."""
    return f"./{path}" if path is not None and path.startswith(FORMULA) else path


class FolderPredictions(Predictions):
    """The predictions in an output folder, read on first access.

    Args:
        journal: journal of the folder.
        notes: remarks that apply to all of them.
    """

    def __init__(self, journal: Journal, notes: Sequence[str] = ()) -> None:
        self._journal = journal
        self.folder = journal.folder
        self.notes = tuple(notes)

    @cached_property
    def _items(self) -> tuple[Prediction, ...]:  # type: ignore[override]
        return tuple(self._journal.predictions())
