"""Read and write the CSV file of a table of predictions.

One row per face, with the columns::

    index, path, label, pred, p_<class> x K, logit_<class> x K [, t_<class> x K] [, votes_<name> x V]
        [, valence, arousal [, true_valence, true_arousal]]

``label`` and ``pred`` are class numbers in the order of the ``p_`` columns (-1: no label). Logits and targets are read
back as exactly the same float32 values. ``p_`` and ``pred`` follow from the logits. They are included for people and
spreadsheets, and are checked on reading. ``valence`` and ``arousal`` are predictions; an empty cell in the ``true_``
columns means that the value is unknown. Further columns are ignored. Without ``p_`` columns, the class order is that of
the ``logit_`` columns. Files may be compressed (``.csv.xz``).
"""

from __future__ import annotations

import csv
import io
import lzma
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import UserError
from mfer_lightning.files import said_bytes
from mfer_lightning.plurals import counted

COMPRESSED = ".xz"
#: Maximum size of a decompressed ``.xz`` table, and maximum memory for decompression. A malicious file of a few
#: megabytes could otherwise expand to tens of gigabytes. A table of 300,000 faces is a third of this size.
MOST_BYTES = 100_000_000
_MEMORY = 128 * 2**20
#: The two values in addition to the emotions, in the order of their columns.
DIMENSIONS = ("valence", "arousal")
_FIXED = ("index", "path", "label", "pred")
#: Probabilities are written with 6 decimals; larger deviations mean that they are not the softmax of the logits.
_TOLERANCE = 1e-4


def csv_text(columns: Mapping[str, Sequence[Any]]) -> str:
    """Format a mapping from names to columns of equal length as CSV."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return file.getvalue()


def find_table(folder: str | Path, split: str) -> Path | None:
    """Find the predictions of a run's split, plain or compressed; None if there are none."""
    path = plain_or_compressed(Path(folder) / f"predictions_{split}.csv")
    return path if path.is_file() else None


def plain_or_compressed(path: str | Path) -> Path:
    """Return the path, or that of the compressed file next to it if only that one exists."""
    path = Path(path)
    compressed = path.with_name(path.name + COMPRESSED)
    return compressed if compressed.is_file() and not path.exists() else path


def table_name(path: str | Path) -> str:
    """Return the name of a table without its file suffixes.

    Example:
        >>> table_name("runs/a/predictions_test.csv"), table_name("kept/a/predictions_test.csv.xz")
        ('predictions_test', 'predictions_test')
    """
    return Path(Path(path).name.removesuffix(COMPRESSED)).stem


def read_columns(path: str | Path, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read a table of predictions.

    Args:
        path: a CSV file; if it does not exist, the compressed file next to it is read.
        class_names: expected class order; None accepts that of the file.

    Returns:
        The arguments of :class:`mfer_lightning.evaluation.predictions.Predictions`.

    Raises:
        UserError: if the file is missing, is not such a table, or has a different class order or illegal values.
    """
    path = plain_or_compressed(path)
    header, rows = _read_rows(path, class_names)
    names = _class_order(header)
    cells = dict(zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True))

    def numbers(wanted: Sequence[str], whole: bool = False) -> NDArray[np.float64]:
        block = np.empty((len(rows), len(wanted)))
        for i, name in enumerate(wanted):
            block[:, i] = _numbers(path, name, cells[name], whole)
        return block

    index, label, pred = numbers(["index", "label", "pred"], whole=True).T.astype(np.int64)
    _refuse(path, "index", index < 0, index, "an index is 0 or more")
    order = np.argsort(index, kind="stable")
    repeated = np.zeros(len(index), dtype=bool)
    repeated[order[1:]] = index[order[1:]] == index[order[:-1]]
    _refuse(path, "index", repeated, index, "each index may occur only once")
    _refuse(path, "label", (label < -1) | (label >= len(names)), label, f"legal: -1 (no label) to {len(names) - 1}")
    logits = numbers([f"logit_{n}" for n in names]).astype(np.float32)
    target = numbers([f"t_{n}" for n in names]).astype(np.float32) if f"t_{names[0]}" in cells else None
    if target is not None:
        _refuse(path, "t_*", (target < 0).any(axis=1), target, "a target is 0 or more")
    voters = tuple(name.removeprefix("votes_") for name in header if name.startswith("votes_"))
    votes = numbers([f"votes_{n}" for n in voters], whole=True).astype(np.int64) if voters else None
    if votes is not None:
        _refuse(path, "votes_*", (votes < 0).any(axis=1), votes, "votes are 0 or more")
    if f"p_{names[0]}" in cells:
        from scipy.special import softmax  # `mfer models`, which imports this module, does not need it

        probabilities = numbers([f"p_{n}" for n in names])
        wrong = (np.abs(probabilities - softmax(logits.astype(np.float64), axis=1)) > _TOLERANCE).any(axis=1)
        _refuse(path, "p_*", wrong, probabilities, "they are not the softmax of the logits")
    _refuse(path, "pred", pred != logits.argmax(axis=1), pred, "it is not the class of the largest logit")
    return {
        "index": index,
        "path": np.asarray(cells["path"], dtype=np.str_),
        "label": label,
        "logits": logits,
        "class_names": names,
        "target": target,
        "votes": votes,
        "vote_names": voters,
        **_valence_arousal(path, cells),
    }


def _valence_arousal(path: Path, cells: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.float32] | None]:
    """Read predictions and labels of valence and arousal, each if both of its columns exist."""
    found: dict[str, NDArray[np.float32] | None] = {}
    for prefix in ("", "true_"):
        names = [f"{prefix}{of}" for of in DIMENSIONS]
        found[f"{prefix}valence_arousal"] = None
        if not all(name in cells for name in names):
            continue
        values = np.empty((len(cells[names[0]]), 2), dtype=np.float32)
        for i, name in enumerate(names):
            unknown = np.array([not cell.strip() for cell in cells[name]], dtype=bool) & bool(prefix)
            known = ["0" if gap else cell for gap, cell in zip(unknown, cells[name], strict=True)]
            values[:, i] = np.where(unknown, np.nan, _numbers(path, name, known, whole=False))
            _refuse(path, name, np.abs(values[:, i]) > 1, values[:, i], "values must be from -1 to 1")
        found[f"{prefix}valence_arousal"] = values
    return found


def _class_order(header: Sequence[str]) -> tuple[str, ...]:
    for prefix in ("p_", "logit_"):
        if names := tuple(name.removeprefix(prefix) for name in header if name.startswith(prefix)):
            return names
    return ()


def _read_rows(path: Path, expected: Sequence[str] | None) -> tuple[list[str], list[list[str]]]:
    table = []
    try:
        text = _decompressed(path) if path.suffix == COMPRESSED else path.read_bytes().decode("utf-8-sig")
        rows = (row for row in csv.reader(io.StringIO(text, newline="")) if row)
        header = next(rows, None)
        if header is None:
            raise UserError(f"The prediction table {path} is empty: it has no header. Write it again.")
        _check_header(path, header, _class_order(header), expected)
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header):
                raise UserError(
                    f"{path}, row {number}: {counted(len(row), 'column')}, but the header has {len(header)}. "
                    "The file was truncated or edited: write it again."
                )
            table.append(row)
    except FileNotFoundError:
        raise UserError(f"No predictions at {path}. A finished run writes predictions_<split>.csv.") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, lzma.LZMAError) as error:
        raise UserError(f"Cannot read the predictions {path}: {error}.") from error
    return header, table


def _decompressed(path: Path) -> str:
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    data = unpacker.decompress(path.read_bytes(), max_length=MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(
            f"The predictions {path} unpack to more than {said_bytes(MOST_BYTES)}, the limit for "
            "compressed tables. If you expect this size, unpack the file yourself (unxz)."
        )
    if not unpacker.eof:
        raise EOFError("it is truncated: the end of the compressed data is missing")
    if unpacker.unused_data:
        raise lzma.LZMAError("there is more data after the end of the compressed data")
    return data.decode("utf-8-sig")


def _check_header(path: Path, header: list[str], names: tuple[str, ...], expected: Sequence[str] | None) -> None:
    repeated = sorted(name for name, times in Counter(header).items() if times > 1)
    if repeated:
        raise UserError(f"{path}: the column {repeated[0]} occurs more than once.")
    required = [*_FIXED, *(f"logit_{n}" for n in names)]
    if any(name.startswith("t_") for name in header):
        required += [f"t_{n}" for n in names]
    missing = [name for name in required if name not in header]
    if not names:
        missing.append("logit_<class>")
    if missing:
        raise UserError(
            f"{path} is not a table of predictions: no column {', '.join(missing)}. "
            "Needed: index, path, label, pred, and logit_<class> for each class; p_<class> is optional."
        )
    for prefix in ("logit_", "t_"):
        order = tuple(name.removeprefix(prefix) for name in header if name.startswith(prefix))
        if order and order != names:
            raise UserError(
                f"{path}: the {prefix} columns are {', '.join(order)}, but the classes are {', '.join(names)}. "
                "All columns must name the same classes in the same order."
            )
    if expected is not None and tuple(expected) != names:
        raise UserError(
            f"{path} has the class order {', '.join(names)}, but {', '.join(expected)} was requested. "
            "Read it without `class_names`, and match the classes by name."
        )


def _numbers(path: Path, name: str, cells: Sequence[str], whole: bool) -> NDArray[np.float64]:
    try:
        values = np.array(cells, dtype=np.float64)
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
    bad = ~np.isfinite(values)
    if whole:
        bad |= values != np.round(values)
    kind = "whole numbers" if whole else "finite numbers"
    _refuse(path, name, bad, np.asarray(cells, dtype=np.str_), f"only {kind} are legal")
    return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _refuse(path: Path, column: str, bad: NDArray[np.bool_] | np.bool_, values: NDArray[Any], legal: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        got = values[row].tolist()
        raise UserError(f"{path}, row {row + 2}, column {column}: got {got!r}; {legal}. Write the file again.")
