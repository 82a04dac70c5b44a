"""Finished runs on disk: found in folders and read, for everything that works on results alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.packed import table_of
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION, Result, validate_result

RESULT = "result.json"
CONFIG = "config.yaml"
#: A result is a few dozen kilobytes; what is larger than this was not written by us.
MAX_BYTES = 20_000_000


@dataclass(frozen=True)
class StoredResult:
    """One ``result.json`` and where it lies.

    Args:
        folder: holds the file, predictions and features.
        result: its content, checked.
        trained: True for a training run, False for a later evaluation of a checkpoint.
    """

    folder: Path
    result: Result
    trained: bool

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration that the model was trained with."""
        return self.result["config"]

    @property
    def seed(self) -> int:
        """The seed that the model was trained with."""
        return int(self.result["seed"])

    def metric(self, name: str) -> float | None:
        """A figure of the reported split, None where it is undefined."""
        value = self.result["metrics"].get(name)
        return None if value is None else float(value)


@dataclass(frozen=True)
class LeftOut:
    """A folder that could not be used, and why, in words that follow the folder's name."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Found:
    """What folders hold.

    Args:
        results: in the order of their folders' names, each once.
        left_out: what had to be left out, each once.
    """

    results: tuple[StoredResult, ...]
    left_out: tuple[LeftOut, ...]


def find_results(folders: Sequence[str | Path]) -> Found:
    """Find and read every result in folders: runs, sweeps, or folders of them.

    Whatever cannot be read is said and stops nothing: a torn file, another program's ``result.json``, a schema that
    this version does not read, a run that has not ended.

    Args:
        folders: at least one, which exist.

    Raises:
        UserError: where a folder is missing.
    """
    results: dict[Path, StoredResult] = {}
    left_out: dict[Path, LeftOut] = {}
    for name in folders:
        for path in result_files(name):
            key = path.parent.resolve()
            if key in results or key in left_out:
                continue
            try:
                results[key] = StoredResult(path.parent, read_result(path), is_training(path.parent))
            except ValueError as error:
                left_out[key] = LeftOut(path.parent, str(error))
        for path in sorted(_folder(name).rglob(CONFIG)):
            if not (path.parent / RESULT).exists() and path.parent.name != ".hydra":
                left_out.setdefault(path.parent.resolve(), LeftOut(path.parent, "has not ended: there is no result"))
    return Found(tuple(results.values()), tuple(left_out.values()))


def result_files(folder: str | Path) -> list[Path]:
    """Find the ``result.json`` files below a folder, in the order of their names.

    Raises:
        UserError: where there is no such folder.
    """
    return sorted(_folder(folder).rglob(RESULT))


def is_training(folder: Path) -> bool:
    """Whether a folder with a result is a training run's: a later evaluation has no configuration of its own."""
    return (folder / CONFIG).is_file()


def read_result(path: Path) -> Result:
    """Read a ``result.json``.

    Raises:
        ValueError: saying in words that follow the file's name why it is no result of ours.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"has a result.json of {path.stat().st_size / 1e6:.0f} MB, which is no result of ours")
        found = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # half a character can be read, but nowhere be written
    except OSError as error:
        raise ValueError(f"has a result.json that cannot be opened ({error.strerror or error})") from error
    except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"has a damaged result.json ({_short(error)})") from error
    if not isinstance(found, Mapping) or not {"schema_version", "protocol"} & set(found):
        raise ValueError("has a result.json of another program")
    version = found.get("schema_version")
    if version != SCHEMA_VERSION:
        age = "an older" if isinstance(version, int) and version < SCHEMA_VERSION else "another"
        raise ValueError(f"has a result of {age} schema ({version!r}; this version reads {SCHEMA_VERSION})")
    try:
        return validate_result(found)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"has a result that contradicts itself ({_short(error)})") from error


def predictions_of(folder: Path, result: Mapping[str, Any]) -> Predictions:
    """Read the table that a result was made of.

    Args:
        folder: of the run or evaluation.
        result: the content of its ``result.json``.

    Returns:
        The whole table, faces without a label included.

    Raises:
        ValueError: where there is none or it is another's, in words that follow the folder's name.
        UserError: where it cannot be read.
    """
    path = table_of(folder, result["split"])
    if path is None:
        raise ValueError(f"has no predictions_{result['split']}.csv")
    table = Predictions.from_csv(path)
    if list(table.class_names) != list(result["class_names"]):
        raise ValueError(f"has a {path.name} of other classes than its result")
    known, k = table.select(table.label >= 0), len(table.class_names)
    counts = np.bincount(known.label * k + known.pred, minlength=k * k).reshape(k, k)
    if not np.array_equal(counts, np.asarray(result["confusion"])):
        raise ValueError(f"has a {path.name} that its result was not made of")
    return table


def _folder(name: str | Path) -> Path:
    root = Path(name).expanduser()
    if not root.is_dir():
        raise UserError(f"There is no folder {root}: runs=<a run, a sweep or a folder of runs>.")
    return root


def _short(error: BaseException) -> str:
    words = " ".join(str(error).split()).removeprefix("Not a result: ").rstrip(".")
    return words if len(words) <= 160 else f"{words[:157]}..."
