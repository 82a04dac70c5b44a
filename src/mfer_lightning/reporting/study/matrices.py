"""Read the results of models on several datasets (``mfer evaluate datasets=[...]``), and tabulate them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfer_lightning.evaluation.runs import MAX_BYTES, LeftOut
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.study.tables import NOTHING, Cell, Column, Table, share

#: Name of the file of a matrix.
MATRIX = "matrix.json"
#: Fields of each pair, with their types.
_CELL: Mapping[str, type | tuple[type, ...]] = {
    "model": str,
    "dataset": str,
    "protocol": str,
    "trained_on": str,
    "faces": int,
    "classes": int,
    "left_out": list,
    "accuracy": (int, float, type(None)),
    "low": (int, float, type(None)),
    "high": (int, float, type(None)),
    "mean_class_accuracy": (int, float, type(None)),
    "alignment": str,
    "error": str,
    "at_home": bool,
}


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix of models and datasets.

    Args:
        folder: folder that contains its file.
        models: M names.
        datasets: D names.
        split: the measured split.
        notes: reasons why pairs are not comparable, in sentences.
        cells: M * D pairs, the datasets of the first model first, with the fields of
            :class:`~mfer_lightning.analysis.matrix.Cell`.
    """

    folder: Path
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    split: str
    notes: tuple[str, ...]
    cells: tuple[Mapping[str, Any], ...]

    def rows(self) -> list[tuple[Mapping[str, Any], ...]]:
        """Return the D cells of each model."""
        width = len(self.datasets)
        return [self.cells[i * width : (i + 1) * width] for i in range(len(self.models))]


def read_matrices(places: Sequence[str | Path]) -> tuple[list[StoredMatrix], list[LeftOut]]:
    """Find and read all matrices in some folders, each once.

    Args:
        places: folders; other paths are ignored.

    Returns:
        The matrices in the order of their folders, and the folders with a file that is damaged or from another program.
    """
    found: dict[Path, StoredMatrix] = {}
    left_out: dict[Path, LeftOut] = {}
    for place in places:
        for path in sorted(Path(place).expanduser().rglob(MATRIX)):
            key = path.resolve()
            try:
                found.setdefault(key, _read(path))
            except (ValueError, TypeError, KeyError, OSError, RecursionError):
                left_out.setdefault(
                    key, LeftOut(path.parent, f"has a {MATRIX} that is damaged or written by another program")
                )
    return list(found.values()), list(left_out.values())


def _read(path: Path) -> StoredMatrix:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError
    told = json.loads(path.read_text(encoding="utf-8"))
    models, datasets, notes = ([str(name) for name in told[key]] for key in ("models", "datasets", "notes"))
    cells = told["cells"]
    pairs = [(model, dataset) for model in models for dataset in datasets]
    if not pairs or [(cell["model"], cell["dataset"]) for cell in cells] != pairs:
        raise ValueError
    for cell in cells:
        if not all(isinstance(cell[key], kind) for key, kind in _CELL.items()):
            raise TypeError
        for key in ("accuracy", "low", "high", "mean_class_accuracy"):
            if cell[key] is not None and not 0 <= cell[key] <= 1:
                raise ValueError
    return StoredMatrix(path.parent, tuple(models), tuple(datasets), str(told["split"]), tuple(notes), tuple(cells))


def matrix_table(matrix: StoredMatrix) -> Table:
    """Tabulate a matrix: one row per pair."""
    rows, data = [], []
    for cell in matrix.cells:
        interval = "" if cell["low"] is None else f"{100 * cell['low']:.1f} to {100 * cell['high']:.1f}"
        accuracy = (
            Cell(NOTHING) if cell["accuracy"] is None else Cell(f"{100 * cell['accuracy']:.2f}", cell["accuracy"])
        )
        rows.append(
            (
                Cell(cell["model"]),
                Cell(cell["dataset"], kind="baseline" if cell["at_home"] else "", below=cell["protocol"]),
                Cell("yes" if cell["at_home"] else "no"),
                Cell(f"{cell['faces']:,}", cell["faces"]),
                Cell(str(cell["classes"] or NOTHING), cell["classes"]),
                Cell(accuracy.text, accuracy.sort, below=interval),
                share(cell["mean_class_accuracy"]),
            )
        )
        left_out = " ".join(map(str, cell["left_out"]))
        data.append({key: cell[key] for key in _CELL if key != "left_out"} | {"left_out": left_out})
    return Table(
        name="matrix",
        title="Models on datasets",
        columns=(
            Column("model"),
            Column("dataset"),
            Column("trained there"),
            Column("faces", numeric=True),
            Column("classes", numeric=True),
            Column("accuracy %", numeric=True, about="below: its 95% interval"),
            Column("mean class %", numeric=True),
        ),
        rows=tuple(rows),
        caption="Below each accuracy: its 95% interval. Pairs with fewer classes are not comparable with the others.",
        data=tuple(data),
    )


def matrix_sentences(matrix: StoredMatrix) -> list[str]:
    """Describe the results of each model on each dataset."""
    said = []
    for model, row in zip(matrix.models, matrix.rows(), strict=True):
        parts = []
        for cell in row:
            if cell["accuracy"] is None:
                parts.append(f"{cell['dataset']} not measured")
                continue
            fewer = f" over {counted(cell['classes'], 'class')}" if cell["left_out"] else ""
            home = " (trained there)" if cell["at_home"] else ""
            parts.append(f"{cell['dataset']} {100 * cell['accuracy']:.1f}%{fewer}{home}")
        said.append(f"{model}: {', '.join(parts)}.")
    return said
