"""Predictions on disk.

One row a face; the columns, in this order::

    index, path, label, pred, p_<class> x K, logit_<class> x K [, t_<class> x K] [, votes_<name> x V]

``label`` and ``pred`` are class numbers, and the ``p_`` columns are the class order they count in (-1: no label).
Logits and targets are the record: they read back as exactly the float32 that was written. ``p_`` and ``pred`` follow
from the logits, stand there for people and spreadsheets, and are checked when read. Further columns are ignored.

A file may be compressed (``.csv.xz``, :mod:`.packed`). Tables that were kept to be small (:mod:`.kept`) lack the ``p_``
columns: the ``logit_`` columns are their class order. What a run writes has them.
"""

from __future__ import annotations

import csv
import io
import lzma
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.packed import open_table, table_at
from mfer_lightning.evaluation.predictions import PADDING, Predictions
from mfer_lightning.files import atomic_path

_FIXED = ("index", "path", "label", "pred")
#: Probabilities are written with 6 digits after the point; beyond this they are not the softmax of the logits.
_TOLERANCE = 1e-4


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write a table of predictions whole or not at all.

    Raises:
        ValueError: where padding rows (index -1) are left: merge first.
        UserError: where the file cannot be written.
    """
    text = predictions_text(predictions)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def predictions_text(predictions: Predictions, *, probabilities: bool = True) -> str:
    """Write a table of predictions as CSV.

    Args:
        predictions: without padding rows.
        probabilities: with the ``p_`` columns, which follow from the logits.

    Raises:
        ValueError: where padding rows (index -1) are left: merge first.
    """
    if (predictions.index == PADDING).any():
        raise ValueError("Expected argument `predictions` without padding rows (index -1): call Predictions.merge.")
    names = predictions.class_names
    header = [*_FIXED, *(f"p_{n}" for n in names if probabilities), *(f"logit_{n}" for n in names)]
    columns: list[list[Any]] = [
        predictions.index.tolist(),
        predictions.path.tolist(),
        predictions.label.tolist(),
        predictions.pred.tolist(),
    ]
    if probabilities:
        columns += ([f"{value:.6f}" for value in column] for column in predictions.probabilities.T.tolist())
    columns += predictions.logits.T.astype(np.str_).tolist()  # the shortest decimal that reads back as itself
    if predictions.target is not None:
        header += [f"t_{n}" for n in names]
        columns += predictions.target.T.astype(np.str_).tolist()
    if predictions.votes is not None:
        header += [f"votes_{n}" for n in predictions.vote_names]
        columns += predictions.votes.T.tolist()
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()


def read_predictions(path: str | Path, class_names: Sequence[str] | None = None) -> Predictions:
    """Read a table of predictions.

    Args:
        path: a file that :func:`write_predictions` wrote; where it is absent, a compressed one beside it is read.
        class_names: the class order that the caller relies on; None takes the file's own.

    Raises:
        UserError: where the file is missing, is no such table, or holds another class order or illegal values.
    """
    path = table_at(path)
    header, table = _read(path, class_names)
    names = _classes(header)
    votes = tuple(name[6:] for name in header if name.startswith("votes_"))

    place = {name: i for i, name in enumerate(header)}
    columns: list[tuple[str, ...]] = list(zip(*table, strict=True)) if table else [()] * len(header)

    def numbers(wanted: Sequence[str], whole: bool = False) -> NDArray[np.float64]:
        block = np.empty((len(table), len(wanted)))
        for i, name in enumerate(wanted):
            block[:, i] = _numbers(path, name, columns[place[name]], whole)
        return block

    index, label, pred = numbers(["index", "label", "pred"], whole=True).T.astype(np.int64)
    _refuse(path, "index", index < 0, index, "an index is 0 or more")
    order = np.argsort(index, kind="stable")
    repeated = np.zeros(len(index), dtype=bool)
    repeated[order[1:]] = index[order[1:]] == index[order[:-1]]
    _refuse(path, "index", repeated, index, "each face stands in the table once")
    _refuse(path, "label", (label < -1) | (label >= len(names)), label, f"legal: -1 (no label) to {len(names) - 1}")
    targets = [f"t_{n}" for n in names]
    has_target = targets[0] in place
    target = numbers(targets).astype(np.float32) if has_target else None
    if target is not None:
        _refuse(path, "t_*", (target < 0).any(axis=1), target, "a target is 0 or more")
    vote_counts = numbers([f"votes_{n}" for n in votes], whole=True).astype(np.int64) if votes else None
    if vote_counts is not None:
        _refuse(path, "votes_*", (vote_counts < 0).any(axis=1), vote_counts, "votes are 0 or more")
    result = Predictions(
        index=index,
        path=np.asarray(columns[place["path"]], dtype=np.str_),
        label=label,
        logits=numbers([f"logit_{n}" for n in names]).astype(np.float32),
        class_names=names,
        target=target,
        votes=vote_counts,
        vote_names=votes,
    )
    if f"p_{names[0]}" in place:
        probabilities = numbers([f"p_{n}" for n in names])
        wrong = (np.abs(probabilities - result.probabilities) > _TOLERANCE).any(axis=1)
        _refuse(path, "p_*", wrong, probabilities, "they are not the softmax of the logits")
    _refuse(path, "pred", pred != result.pred, pred, "it is not the class of the largest logit")
    return result


def _classes(header: Sequence[str]) -> tuple[str, ...]:
    """Give the class order of a table: that of the ``p_`` columns, of a table without them that of the logits."""
    stated = tuple(name[2:] for name in header if name.startswith("p_"))
    return stated or tuple(name[6:] for name in header if name.startswith("logit_"))


def _read(path: Path, expected: Sequence[str] | None) -> tuple[list[str], list[list[str]]]:
    table = []
    try:
        with open_table(path) as file:
            rows = (row for row in csv.reader(file) if row)
            header = next(rows, None)
            if header is None:
                raise UserError(f"The predictions {path} are empty, without even a header. Write them anew.")
            _check_header(path, header, _classes(header), expected)
            for number, row in enumerate(rows, start=2):
                if len(row) != len(header):
                    raise UserError(
                        f"{path}, row {number}: {len(row)} columns where the header has {len(header)}. "
                        "The file was cut or edited: write it anew."
                    )
                table.append(row)
    except FileNotFoundError:
        raise UserError(f"No predictions at {path}. A finished run writes predictions_<split>.csv.") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, lzma.LZMAError) as error:
        raise UserError(f"Cannot read the predictions {path}: {error}.") from error
    return header, table


def _check_header(path: Path, header: list[str], names: tuple[str, ...], expected: Sequence[str] | None) -> None:
    repeated = sorted(name for name, times in Counter(header).items() if times > 1)
    if repeated:
        raise UserError(f"{path}: the column {repeated[0]} occurs more than once.")
    required = [*_FIXED, *(f"logit_{n}" for n in names)]
    if any(name.startswith("t_") for name in header):
        required += [f"t_{n}" for n in names]
    missing = [name for name in required if name not in header]
    if not names:
        missing.append("p_<class>")
    if missing:
        raise UserError(
            f"{path} is not a table of predictions: no column {', '.join(missing)}. "
            "Needed: index, path, label, pred, and p_ and logit_ for each class."
        )
    for prefix in ("logit_", "t_"):
        order = tuple(name[len(prefix) :] for name in header if name.startswith(prefix))
        if order and order != names:
            raise UserError(
                f"{path}: the {prefix} columns are {', '.join(order)}, the p_ columns {', '.join(names)}. "
                "Both must name the same classes in the same order."
            )
    if expected is not None and tuple(expected) != names:
        raise UserError(
            f"{path} has the class order {', '.join(names)}, but {', '.join(expected)} is wanted. "
            "Nothing is mapped silently: read it without an order and remap by name."
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
        raise UserError(f"{path}, row {row + 2}, column {column}: got {got!r}; {legal}. Write the file anew.")
