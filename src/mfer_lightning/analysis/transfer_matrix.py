"""Measure several models on several datasets: one accuracy with its interval for each pair.

Classes are matched by name. A class that only one side has is left out of that pair, and the pair says so: its figure
is over fewer classes than the others and is not comparable with them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from mfer_lightning.align.stored_alignment import describe_alignment
from mfer_lightning.analysis.model_on_split import (
    OTHERWISE_SAME,
    ModelOnSplit,
    open_model_on_split,
    options_in_words,
    results_folder,
)
from mfer_lightning.analysis.standard_suite import evaluate_model
from mfer_lightning.config.path_quoting import quoted
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.datasets.registry import dataset_info
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError
from mfer_lightning.figures.heat_map import plot_heat_map
from mfer_lightning.files import atomic_path, write_json
from mfer_lightning.inference.dataset import dataset_config, open_dataset, stored_config
from mfer_lightning.inference.model import FERModel, choose_device, read_model, usual_batch
from mfer_lightning.inference.predict_split import SplitName

#: Options of a dataset that change its training set alone.
_TRAINING = ("target", "augment", "label_noise", "label_noise_seed", "relabel", "exclude", "trust_labels")

#: A dataset of a matrix: a choice of ``conf/dataset``, or one with options as ``{"name": "facs", "difficulty": 0.8}``.
Dataset = str | Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """What one model does on one dataset.

    Args:
        model: the model's name.
        dataset: the dataset's name, with its options.
        protocol: under which the faces were chosen, marked where classes are left out.
        trained_on: the protocol that the model was trained under, if it is known.
        faces: how many were measured; 0 where the pair could not be measured.
        classes: how many classes the figures are over.
        left_out: the classes that only one side has.
        accuracy: overall, 0 to 1.
        low: lower end of its 95% interval.
        high: upper end.
        mean_class_accuracy: mean of the classes' recalls.
        alignment: where the model's training faces and these faces were aligned differently, a sentence; else empty.
        folder: of the whole evaluation.
        error: why the pair could not be measured; else empty.
        at_home: whether the model was trained on this dataset, with the options that change its faces.
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
        split: the split that was measured.
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
        """Say what keeps cells from being compared: classes left out, other alignments, and pairs that failed."""
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
        """Write ``matrix.csv``, one line a pair, ``matrix.json``, and the heat map ``figures/matrix.png``.

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


def measure_matrix(
    checkpoints: Sequence[str | PathLike[str]],
    datasets: Sequence[Dataset],
    split: SplitName = "test",
    *,
    drop: Sequence[str] = (),
    runs: str | Path = "runs",
    device: str = "auto",
    verify: bool = True,
    data: str | None = None,
    cache: str | None = None,
    loader: Mapping[str, Any] | None = None,
    flip: bool | None = None,
    shift: float | None = None,
    precision: str | None = None,
    compile: bool | str = False,
    embedding_points: int = 0,
    progress: Callable[[str], None] = lambda words: None,
) -> Matrix:
    """Evaluate each model on each dataset. Each pair's whole evaluation is written where ``mfer evaluate`` writes it.

    Args:
        checkpoints: M runs, checkpoints or exports.
        datasets: D datasets.
        split: ``"test"``, ``"val"`` or ``"train"``.
        drop: classes to leave out everywhere, beside those that only one side has.
        runs: folder for the results of checkpoints that belong to no run.
        device: ``"auto"``, or a torch device.
        verify: compare the weights with the checksums in their files.
        data: the data root.
        cache: folder of decoded images.
        loader: ``eval_batch_size`` and ``num_workers``.
        flip: average with the mirrored face; None: as each checkpoint says.
        shift: average with shifted copies; None: as each checkpoint says.
        precision: of the forward passes, as in :func:`~mfer_lightning.analysis.model_on_split.open_model_on_split`.
        compile: compile each network, likewise.
        embedding_points: faces in each t-SNE figure.
        progress: gets a line a pair, before it is measured.

    Returns:
        The matrix. A pair that cannot be measured holds the reason.

    Raises:
        UserError: where a model or a dataset cannot be opened, or one is named twice.
    """
    sizes = {"num_workers": 2, **(loader or {})}
    if sizes.get("eval_batch_size") is None:
        sizes["eval_batch_size"] = usual_batch(choose_device(device))
    opening: dict[str, Any] = {"flip": flip, "shift": shift, "precision": precision, "compile": compile}
    opened: dict[str, tuple[FaceDataModule, dict[str, Any], str]] = {}
    for dataset in datasets:
        name, options = _name_and_options(dataset)
        config = dataset_config(name, options, None, data)
        opened[_once(_title(name, options), opened, "datasets")] = (
            open_dataset(config, sizes, cache), config, options_in_words(options),
        )  # fmt: skip
    models: dict[str, None] = {}
    cells = []
    names = _short_names([str(where) for where in checkpoints])
    for where, name in zip(checkpoints, names, strict=True):
        models[_once(name, models, "checkpoint")] = None
        model = read_model(where, device, verify=verify)
        trained_on = str(model.metadata.get("protocol") or "")
        for title, (datamodule, config, words) in opened.items():
            progress(f"{name} on {title}")
            try:
                both = _alone(model.class_names, datamodule.class_names)
                left_out = tuple(dict.fromkeys((*drop, *both)))
                subject = open_model_on_split(
                    model, split, datamodule=datamodule, drop=left_out, device=device, **opening
                )
                subject = replace(subject, dataset=config, options=words)
                subject.require_faces()
                folder = results_folder(subject, runs)
                result = evaluate_model(subject, folder, embedding_points=embedding_points, show=False)
            except UserError as error:
                cells.append(Cell(name, title, error=str(error)))
                continue
            interval = result.intervals.get("accuracy") or (None, None)
            cells.append(
                Cell(
                    model=name,
                    dataset=title,
                    protocol=subject.protocol,
                    trained_on=trained_on,
                    faces=int(result["n"]),
                    classes=len(subject.match.names),
                    left_out=subject.match.dropped,
                    accuracy=result.metrics["accuracy"],
                    low=interval[0],
                    high=interval[1],
                    mean_class_accuracy=result.metrics.get("mean_class_accuracy"),
                    alignment=_alignment(model, subject),
                    folder=str(folder),
                    at_home=_at_home(model, config),
                )
            )
    return Matrix(tuple(models), tuple(opened), split, tuple(cells))


def _below(cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return "not measured" if cell.accuracy is None else ""
    words = f"{100 * cell.low:.1f} to {100 * cell.high:.1f}"
    return f"{words}\n{cell.classes} classes" if cell.left_out else words


def _name_and_options(dataset: Dataset) -> tuple[str, list[str]]:
    if isinstance(dataset, str):
        return dataset, []
    if not isinstance(dataset, Mapping) or not isinstance(dataset.get("name"), str):
        raise UserError(
            f"datasets holds {dataset}: each is a dataset's name, or a mapping with its name and options, as in "
            "datasets=[ferplus,{name:facs,difficulty:0.8}]."
        )
    given = {key: value for key, value in dataset.items() if key != "name"}
    return dataset["name"], [f"dataset.{key}={_value(value)}" for key, value in given.items()]


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return quoted(value) if isinstance(value, str) else str(value)


def _title(name: str, options: Sequence[str]) -> str:
    words = options_in_words(options, faces_only=False)
    return f"{name} {words}" if words else name


def _once(name: str, seen: Mapping[str, Any], option: str) -> str:
    if name in seen:
        raise UserError(f"{option} names {name} twice: leave one of them out.")
    return name


def _short_names(paths: Sequence[str]) -> list[str]:
    """Name models by the last part of their path that tells them apart.

    Example:
        >>> _short_names(["runs/a/checkpoints/best.ckpt", "runs/b", "exports/c/"])
        ['a', 'b', 'c']
    """
    plain = [re.sub(r"/checkpoints(/best\.ckpt)?$", "", path.rstrip("/")) for path in paths]
    for depth in range(1, 10):
        short = ["/".join(path.split("/")[-depth:]) for path in plain]
        if len(set(short)) == len(set(plain)):
            return short
    return plain


def _alone(model: Sequence[str], dataset: Sequence[str]) -> list[str]:
    own, theirs = [canonical(name) for name in model], [canonical(name) for name in dataset]
    return [*(name for name in own if name not in theirs), *(name for name in theirs if name not in own)]


def _at_home(model: FERModel, config: Mapping[str, Any]) -> bool:
    trained = (stored_config(model.metadata) or {}).get("dataset") or {}
    if trained.get("name") != config.get("name"):
        return False
    return all(config[key] == trained[key] for key in config.keys() & trained.keys() - {*OTHERWISE_SAME, *_TRAINING})


def _alignment(model: FERModel, subject: ModelOnSplit) -> str:
    """Say where the faces are aligned otherwise than those that the model was trained on."""
    told = model.metadata.get("alignment")
    own = told.get("template") if isinstance(told, Mapping) else model.preprocess.to_config().get("alignment")
    datamodule = subject.datamodule
    template = dataset_info(datamodule.dataset).template
    if datamodule.alignment is None and template is None:
        return ""
    theirs = describe_alignment(datamodule.alignment, datamodule.dataset, datamodule.size, template)["template"]
    if own is None or str(own).partition(" ")[0] == str(theirs).partition(" ")[0]:
        return ""
    return f"faces aligned as {theirs}, the model was trained on faces aligned as {own}"
