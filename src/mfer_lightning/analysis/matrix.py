"""Store and write the accuracies of models on datasets, with the reasons why some are not comparable."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mfer_lightning.figures.heat_map import plot_heat_map
from mfer_lightning.files import atomic_path, write_json


@dataclass(frozen=True)
class Cell:
    """The result of one model on one dataset.

    Args:
        model: the model's name.
        dataset: the dataset's name, with its options.
        protocol: the protocol of the faces, with a suffix if classes are left out.
        trained_on: the protocol that the model was trained under; empty if unknown.
        faces: number of faces measured; 0 if the pair could not be measured.
        classes: number of common classes.
        left_out: classes that are left out, e.g. because only the model or only the dataset has them.
        accuracy: overall accuracy, 0 to 1; None if it could not be measured.
        low: lower limit of its 95% interval.
        high: upper limit of its 95% interval.
        mean_class_accuracy: mean of the per-class recalls, 0 to 1.
        alignment: a sentence if the model's training faces and these faces were aligned differently; else empty.
        folder: folder with the full results.
        error: why the pair could not be measured; else empty.
        at_home: whether the model was trained on this dataset with the same options (as far as they change the faces).
    """

    model: str
    dataset: str
    protocol: str = ""
    trained_on: str = ""
    faces: int = 0
    classes: int = 0
    left_out: tuple[str, ...] = ()
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    mean_class_accuracy: float | None = None
    alignment: str = ""
    folder: str = ""
    error: str = ""
    at_home: bool = False


@dataclass(frozen=True)
class Matrix:
    """All pairs of models and datasets.

    Args:
        models: M names.
        datasets: D names.
        split: the measured split.
        cells: M * D, the datasets of the first model first.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    split: str
    cells: tuple[Cell, ...]

    def row(self, model: str) -> tuple[Cell, ...]:
        """Return the D cells of a model."""
        return tuple(cell for cell in self.cells if cell.model == model)

    @property
    def failed(self) -> tuple[Cell, ...]:
        """The pairs that could not be measured."""
        return tuple(cell for cell in self.cells if cell.error)

    def notes(self) -> list[str]:
        """List the reasons why cells are not comparable: classes left out, different alignments, and failed pairs."""
        found: dict[str, list[str]] = {}
        for cell in self.cells:
            pair = f"{cell.model} on {cell.dataset}"
            if cell.left_out:
                words = (
                    f"over {cell.classes} classes, without {', '.join(cell.left_out)}: not comparable with the others"
                )
                found.setdefault(words, []).append(pair)
            if cell.alignment:
                found.setdefault(cell.alignment, []).append(pair)
            if cell.error:
                found.setdefault(f"not measured: {cell.error}", []).append(pair)
        return [f"{'; '.join(pairs)}: {words}" for words, pairs in found.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``matrix.json``: plain values."""
        cells = [{**asdict(cell), "left_out": list(cell.left_out)} for cell in self.cells]
        return {
            "models": list(self.models),
            "datasets": list(self.datasets),
            "split": self.split,
            "notes": self.notes(),
            "cells": cells,
        }

    def write(self, folder: str | Path) -> Path:
        """Write ``matrix.csv`` (one row per pair), ``matrix.json`` and the heat map ``figures/matrix.png``.

        Args:
            folder: folder for the files, created if it is missing.

        Returns:
            The folder.
        """
        folder = Path(folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        names = [field.name for field in fields(Cell)]
        with atomic_path(folder / "matrix.csv") as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for cell in self.cells:
                writer.writerow({**asdict(cell), "left_out": " ".join(cell.left_out)})
        rows = [self.row(model) for model in self.models]
        plot_heat_map(
            [[cell.accuracy for cell in row] for row in rows],
            [[_below(cell) for cell in row] for row in rows],
            self.models,
            self.datasets,
            folder / "figures" / "matrix.png",
            framed=[[cell.at_home for cell in row] for row in rows],
            caption=f"accuracy (%), split {self.split}, 95% intervals; framed: trained on this dataset",
        )
        write_json(folder / "matrix.json", self.to_dict())
        return folder


def _below(cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return "not measured" if cell.accuracy is None else ""
    words = f"{100 * cell.low:.1f} to {100 * cell.high:.1f}"
    return f"{words}\n{cell.classes} classes" if cell.left_out else words
