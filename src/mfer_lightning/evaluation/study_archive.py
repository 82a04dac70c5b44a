"""Read and write the archive of a study: the results, curves and predictions of its runs in one ``.npz`` file.

The file is a ZIP that ``numpy.load`` opens; docs/report.md describes its members. ``index.json`` contains the results,
and runs with the same faces share table columns. ``numpy.savez_compressed`` is not used because it supports only
deflate: bzip2 makes these files a third smaller, and ``numpy.load`` reads it too.
"""

from __future__ import annotations

import io
import json
import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.predictions import PADDING, Predictions
from mfer_lightning.evaluation.schema import SPLITS
from mfer_lightning.files import atomic_path, said_bytes, write_text

#: Name of the archive in a study's folder.
ARCHIVE = "runs.npz"
FORMAT, VERSION = "mfer_lightning study", 1
#: Maximum uncompressed size of an archive: a small malicious file could otherwise fill the memory.
MOST_BYTES = 2_000_000_000
_INDEX = "index.json"
#: Columns shared by runs on the same faces; the last two are optional.
_SHARED = ("index", "path", "label", "target", "votes")


@dataclass(frozen=True, eq=False)
class ArchivedRun:
    """One finished run, or a later evaluation, of a study.

    Args:
        name: path of its folder relative to the study's, separated by ``/``.
        result: content of ``result.json``, including the configuration.
        table: predictions of the reported split.
        metrics: content of ``metrics.csv``; None for an evaluation.
    """

    name: str
    result: Mapping[str, Any]
    table: Predictions
    metrics: str | None = None

    def equals(self, other: ArchivedRun) -> bool:
        """Whether two runs have the same content."""
        same_logits = np.array_equal(self.table.logits, other.table.logits)
        alike = (self.name, self.result, self.metrics) == (other.name, other.result, other.metrics)
        return alike and same_logits and _faces(self.table) == _faces(other.table)


def write_archive(path: str | Path, runs: Sequence[ArchivedRun]) -> None:
    """Write an archive atomically. Equal runs give identical files.

    Raises:
        UserError: if the file cannot be written.
    """
    groups: dict[tuple[Any, ...], list[ArchivedRun]] = {}
    entries = []
    for run in sorted(runs, key=lambda run: (run.name + "/result.json").split("/")):
        group = groups.setdefault(_faces(run.table), [])
        number = list(groups).index(_faces(run.table))
        metrics = {} if run.metrics is None else {"metrics": run.metrics}
        entries.append({"name": run.name, "faces": number, "row": len(group), **metrics, "result": run.result})
        group.append(run)
    members: dict[str, bytes] = {}
    faces = []
    for number, group in enumerate(groups.values()):
        table = group[0].table
        faces.append({"class_names": table.class_names, "vote_names": table.vote_names})
        columns = {name: getattr(table, name) for name in _SHARED}
        # Fortran order puts the logits of all runs for one face next to each other, which compresses best
        columns["logits"] = np.asfortranarray(np.stack([run.table.logits for run in group]))
        members |= {f"{number}/{name}.npy": _npy(column) for name, column in columns.items() if column is not None}
    index = {"format": FORMAT, "version": VERSION, "faces": faces, "runs": entries}
    members[_INDEX] = json.dumps(index, ensure_ascii=False, allow_nan=False).encode("utf-8")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for name, data in members.items():  # unlike a plain name, ZipInfo has a fixed date
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_BZIP2, compresslevel=9)


def read_archive(path: str | Path) -> list[ArchivedRun]:
    """Read an archive without executing code in it.

    Raises:
        UserError: if it is missing, truncated, damaged, incomplete, or from a newer version or another program.
    """
    path = Path(path).expanduser()
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(member.file_size for member in file.infolist())
            if size > MOST_BYTES:
                raise ValueError(f"it unpacks to {said_bytes(size)}, but the limit is {said_bytes(MOST_BYTES)}")
            index = _index(file)
            groups = [_read_faces(file, number, names) for number, names in enumerate(index["faces"])]
            return [_run(entry, groups) for entry in index["runs"]]
    except FileNotFoundError:
        raise UserError(f"There is no archive {path}.") from None
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, tokenize.TokenError) as error:
        raise UserError(f"The archive {path} cannot be read: it is truncated or damaged ({short(error)}).") from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:  # something has an unexpected type
        raise UserError(
            f"The archive {path} cannot be read: its content was not written by mfer report keep= ({short(error)}). "
            "Restore the file from version control."
        ) from error
    except (OSError, ValueError, MemoryError) as error:
        raise UserError(f"The archive {path} cannot be read: {short(error)}.") from error


def unpack_run(run: ArchivedRun, folder: Path) -> Path:
    """Write one run as a run folder, which every command can read; ``result.json`` is written last.

    The table is compressed. This tells later commands that its logits are rounded.

    Raises:
        UserError: if a file cannot be written, or the result does not name its split.
    """
    split = run.result.get("split")
    if split not in SPLITS:
        raise UserError(f"The run {run.name} of the archive has the split {split!r}, not one of {', '.join(SPLITS)}.")
    with atomic_path(folder / f"predictions_{split}.csv.xz") as temporary:
        temporary.write_bytes(lzma.compress(run.table.csv_text(probabilities=False).encode("utf-8")))
    if run.metrics is not None:
        write_text(folder / "metrics.csv", run.metrics)
        write_text(folder / "config.yaml", yaml.safe_dump(run.result["config"], sort_keys=False, allow_unicode=True))
    write_text(folder / "result.json", json.dumps(run.result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return folder


def _faces(table: Predictions) -> tuple[Any, ...]:
    """Return a key that is equal for tables with the same classes, faces, labels, targets and votes."""
    columns = [getattr(table, name) for name in _SHARED]
    return (table.class_names, table.vote_names, *(None if c is None else (c.shape, c.tobytes()) for c in columns))


def _npy(column: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, column, allow_pickle=False)
    return buffer.getvalue()


def _index(file: zipfile.ZipFile) -> dict[str, Any]:
    if _INDEX not in file.namelist():
        raise ValueError(f"it has no {_INDEX}, so it is not a study's archive")
    index: dict[str, Any] = json.loads(file.read(_INDEX))
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ValueError("it is not a study's archive")
    if index.get("version") != VERSION:
        raise ValueError(
            f"its format has version {index.get('version')!r}, but this program reads {VERSION}: update mfer_lightning"
        )
    names = [PurePosixPath(entry["name"]) for entry in index["runs"]]
    for name in names:
        if not name.parts or name.is_absolute() or ".." in name.parts or "\\" in str(name) or names.count(name) > 1:
            raise ValueError(f"it names a run {str(name)!r}, which is repeated or not a folder inside the study")
    return index


def _read_faces(file: zipfile.ZipFile, number: int, names: Mapping[str, Any]) -> dict[str, Any]:
    """Read the columns of a group of runs; ``logits`` is (runs, faces, classes)."""
    columns: dict[str, Any] = dict.fromkeys(_SHARED)
    for name in (*_SHARED, "logits"):
        member = f"{number}/{name}.npy"
        if member in file.namelist():
            columns[name] = np.load(io.BytesIO(file.read(member)), allow_pickle=False)
        elif name not in ("target", "votes"):
            raise ValueError(f"it has no {member}")
    index = columns["index"]
    if len(np.unique(index)) < len(index) or (index <= PADDING).any():
        raise ValueError(f"{number}/index.npy repeats a face or contains a negative index")
    return columns | {name: tuple(map(str, names[name])) for name in ("class_names", "vote_names")}


def _run(entry: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> ArchivedRun:
    number, row, result, metrics = entry["faces"], entry["row"], entry["result"], entry.get("metrics")
    if type(number) is not int or type(row) is not int:
        raise ValueError(f"the position of the predictions of {entry['name']} is not a whole number")
    if not isinstance(result, dict) or not isinstance(metrics, (str, type(None))):
        raise ValueError(f"the result of {entry['name']} is not a mapping, or its metrics are not text")
    if not 0 <= number < len(groups) or not 0 <= row < len(groups[number]["logits"]):
        raise ValueError(f"it has no predictions of {entry['name']}")
    group = dict(groups[number])
    return ArchivedRun(entry["name"], result, Predictions(**group | {"logits": group["logits"][row]}), metrics)


def short(error: BaseException) -> str:
    """Format an error on one short line, without the full stop."""
    words = " ".join(str(error).split()).removeprefix("Not a result: ").rstrip(".") or type(error).__name__
    return words if len(words) <= 160 else f"{words[:157]}..."
