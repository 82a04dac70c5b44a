"""Find and read finished runs, in run folders and in the archives of studies."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.predictions_csv import COMPRESSED, find_table
from mfer_lightning.evaluation.schema import SCHEMA_VERSION, Result, validate_result
from mfer_lightning.evaluation.study_archive import ARCHIVE, ArchivedRun, read_archive, short
from mfer_lightning.files import sha256_of

RESULT = "result.json"
CONFIG = "config.yaml"
METRICS = "metrics.csv"
#: Maximum size of a ``result.json``. Typical files are a few dozen kilobytes.
MAX_BYTES = 20_000_000
UNFINISHED = "is not finished: there is no result"


@dataclass(frozen=True, eq=False)
class StoredResult:
    """A finished run or evaluation, in its own folder or in a study's archive.

    Args:
        folder: its folder; for an archived run, the folder that it would have next to the archive.
        result: the validated content of ``result.json``.
        trained: True for a training run, False for a later evaluation of a checkpoint.
        archived: the archived run; None if it has a folder.
    """

    folder: Path
    result: Result
    trained: bool
    archived: ArchivedRun | None = None

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of the model's training."""
        return self.result["config"]

    @property
    def seed(self) -> int:
        """The seed of the model's training."""
        return int(self.result["seed"])

    def metric(self, name: str) -> float | None:
        """Return a metric of the reported split, None if it is undefined or absent."""
        value = self.result["metrics"].get(name)
        return None if value is None else float(value)

    @property
    def kept(self) -> bool:
        """Whether this is an archived run of ``mfer report keep=``: rounded logits, no features."""
        table = find_table(self.folder, self.result["split"])
        return self.archived is not None or (table is not None and table.suffix == COMPRESSED)

    def metrics(self) -> Path | list[dict[str, str]] | None:
        """``metrics.csv`` as a file, or its rows from an archive; None if there is none."""
        if self.archived is not None:
            text = self.archived.metrics
            return None if text is None else list(csv.DictReader(text.splitlines()))
        path = self.folder / METRICS
        return path if path.is_file() else None

    def predictions(self, split: str | None = None) -> Predictions:
        """Read a prediction table, including faces without a label.

        Args:
            split: None for the reported split, whose table must match the result.

        Raises:
            ValueError: if there is none or it belongs to another result. The message is phrased to follow the folder's
                name.
            UserError: if it cannot be read.
        """
        name = f"predictions_{split or self.result['split']}.csv"
        if self.archived is not None and split in (None, self.result["split"]):
            table = self.archived.table
        elif self.archived is None and (path := find_table(self.folder, split or self.result["split"])) is not None:
            files = self.result.get("files")
            if isinstance(files, Mapping) and sha256_of(path) != files.get(path.name, sha256_of(path)):
                raise ValueError(f"has a {path.name} that was changed: its SHA-256 differs")
            table, name = Predictions.from_csv(path), path.name
        else:
            raise ValueError(f"has no {name}")
        if split in (None, self.result["split"]):
            _check_origin(table, self.result, name)
        return table


@dataclass(frozen=True)
class LeftOut:
    """A folder that could not be used, and the reason, phrased to follow the folder's name."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Found:
    """The results found in folders, and the folders without a usable result.

    Args:
        results: results in the order of the places, sorted by path within each, without duplicates.
        left_out: folders that were left out, without duplicates.
    """

    results: tuple[StoredResult, ...]
    left_out: tuple[LeftOut, ...]


def find_results(places: Sequence[str | Path]) -> Found:
    """Find and read all results in the given places: runs, sweeps, folders of these, and archives.

    Anything that cannot be used is reported and skipped, such as a truncated file, a ``result.json`` of another
    program, an unsupported schema version or an unfinished run.

    Args:
        places: existing folders or archives.

    Raises:
        UserError: if a place does not exist.
    """
    results: dict[Path, StoredResult] = {}
    left_out: dict[Path, LeftOut] = {}
    for place in places:
        if not is_place(place):
            raise UserError(
                f"There is no folder {place}. Set runs= to a run, a sweep, a folder of runs or the archive of a study."
            )
        for item in _read_all(Path(place).expanduser()):
            key = item.folder.resolve()
            if isinstance(item, StoredResult) and key not in left_out:
                results.setdefault(key, item)
            elif isinstance(item, LeftOut) and key not in results:
                left_out.setdefault(key, item)
    return Found(tuple(results.values()), tuple(left_out.values()))


def run_folders(runs: Any, one: str) -> list[str]:
    """Parse the option ``runs``: one folder or a list of folders.

    Args:
        runs: value of the option.
        one: how to specify a single folder for this command, for the message.

    Raises:
        UserError: if it contains no folder.
    """
    if isinstance(runs, str) and runs:
        return [runs]
    if isinstance(runs, list) and runs and all(isinstance(folder, str) and folder for folder in runs):
        return list(runs)
    raise UserError(f"Name the runs: {one}<a sweep, a run or a folder of runs>, or runs=[<folder>,<folder>].")


def is_place(name: str | Path) -> bool:
    """Whether runs can be read from this place: a folder or an archive."""
    place = Path(name).expanduser()
    return place.is_dir() or (place.is_file() and place.suffix == Path(ARCHIVE).suffix)


def folder_of(place: str | Path) -> Path:
    """Return the folder of a place: the place itself, or the folder that contains the archive."""
    path = Path(place)
    return path.parent if path.expanduser().is_file() else path


def _read_all(place: Path) -> Iterator[StoredResult | LeftOut]:
    found = [place] if place.is_file() else sorted([*place.rglob(RESULT), *place.rglob(ARCHIVE)])
    for path in found:
        if path.name == RESULT:
            yield read_folder(path.parent)
        else:
            yield from _read_archived(path)
    for path in sorted(place.rglob(CONFIG)) if place.is_dir() else ():
        if not (path.parent / RESULT).exists() and path.parent.name != ".hydra":
            yield LeftOut(path.parent, UNFINISHED)


def read_folder(folder: Path) -> StoredResult | LeftOut:
    """Read the result in a run's folder, or return why it cannot be used."""
    try:
        return StoredResult(folder, read_result(folder / RESULT), is_training(folder))
    except ValueError as error:
        return LeftOut(folder, str(error))


def _read_archived(path: Path) -> Iterator[StoredResult | LeftOut]:
    try:
        runs = read_archive(path)
    except UserError as error:
        yield LeftOut(path, str(error).removeprefix(f"The archive {path} ").rstrip("."))
        return
    for run in runs:
        folder = path.parent / run.name
        try:
            yield StoredResult(folder, check_result(run.result), run.metrics is not None, run)
        except ValueError as error:
            yield LeftOut(folder, str(error))


def is_training(folder: Path) -> bool:
    """Whether a folder with a result is that of a training run: evaluations have no configuration file."""
    return (folder / CONFIG).is_file()


def read_result(path: Path) -> Result:
    """Read a ``result.json``.

    Raises:
        ValueError: the reason it is not a result of this program, phrased to follow the folder's name.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"has a result.json of {path.stat().st_size / 1e6:.0f} MB, which is too large for a result"
            )
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"has a result.json that cannot be opened ({error.strerror or error})") from error
    except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"has a damaged result.json ({short(error)})") from error
    return check_result(found)


def check_result(found: Any) -> Result:
    """Validate the content of a ``result.json``.

    Raises:
        ValueError: the reason it is not a result of this program, phrased to follow the folder's name.
    """
    try:
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # a lone surrogate can be read, but not written
    except (UnicodeError, RecursionError) as error:
        raise ValueError(f"has a damaged result.json ({short(error)})") from error
    if not isinstance(found, Mapping) or not {"schema_version", "protocol"} & set(found):
        raise ValueError("has a result.json written by another program")
    version = found.get("schema_version")
    if version != SCHEMA_VERSION:
        age = "an older" if isinstance(version, int) and version < SCHEMA_VERSION else "another"
        raise ValueError(f"has a result with {age} schema ({version!r}; this version reads {SCHEMA_VERSION})")
    try:
        return validate_result(found)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"has an inconsistent result ({short(error)})") from error


def _check_origin(table: Predictions, result: Mapping[str, Any], name: str) -> None:
    """Reject a table that does not reproduce the result's confusion matrix."""
    if list(table.class_names) != list(result["class_names"]):
        raise ValueError(f"has a {name} whose classes differ from those of its result")
    known, k = table.select(table.label >= 0), len(table.class_names)
    counts = np.bincount(known.label * k + known.pred, minlength=k * k).reshape(k, k)
    if not np.array_equal(counts, np.asarray(result["confusion"])):
        raise ValueError(f"has a {name} that does not match its result")
