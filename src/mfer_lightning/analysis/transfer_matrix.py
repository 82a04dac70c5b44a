"""Evaluate several models on several datasets. Each pair gives one accuracy with its interval.

Classes are matched by name. If only the model or only the dataset has a class, the class is left out for that pair. A
note then says that the accuracy is not comparable with the others, because it is over fewer classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from mfer_lightning.align.stored_alignment import describe_alignment
from mfer_lightning.analysis.dataset_options import OTHERWISE_SAME, options_in_words
from mfer_lightning.analysis.matrix import Cell, Matrix
from mfer_lightning.analysis.model_on_split import ModelOnSplit, open_model_on_split
from mfer_lightning.analysis.results_folder import results_folder
from mfer_lightning.analysis.standard_suite import evaluate_model
from mfer_lightning.config.path_quoting import quoted
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.datasets.registry import dataset_info
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError
from mfer_lightning.inference.dataset import dataset_config, open_dataset, stored_config
from mfer_lightning.inference.model import FERModel, choose_device, read_model, usual_batch
from mfer_lightning.inference.predict_split import SplitName

#: Options of a dataset that change neither the faces nor the labels of its validation and test sets.
_TRAINING = ("target", "augment", "label_noise", "label_noise_seed", "relabel", "exclude", "hold_out", "trust_labels")

#: A dataset of a matrix: a choice of ``conf/dataset``, or one with options as ``{"name": "facs", "difficulty": 0.8}``.
Dataset = str | Mapping[str, Any]


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
    compile: bool | str = "auto",
    embedding_points: int = 0,
    progress: Callable[[str], None] = lambda words: None,
) -> Matrix:
    """Evaluate each model on each dataset. The full results of a pair are written where ``mfer evaluate`` writes them.

    Args:
        checkpoints: M runs, checkpoints or exports.
        datasets: D datasets.
        split: ``"test"``, ``"val"`` or ``"train"``.
        drop: classes to leave out for all pairs, in addition to those that only the model or only the dataset has.
        runs: folder for the results of checkpoints that belong to no run.
        device: ``"auto"``, or a torch device.
        verify: compare the weights with the stored checksums.
        data: the data root.
        cache: folder of decoded images.
        loader: ``eval_batch_size`` and ``num_workers``.
        flip: average with the mirrored face; None: as stored in each checkpoint.
        shift: average with shifted copies; None: as stored in each checkpoint.
        precision: precision of the forward passes, as in
            :func:`~mfer_lightning.analysis.model_on_split.open_model_on_split`.
        compile: compile each network, as in the same function.
        embedding_points: number of faces in each t-SNE figure.
        progress: called with one line per pair, before it is measured.

    Returns:
        The matrix. The cell of a pair that cannot be measured contains the reason.

    Raises:
        UserError: if a model or a dataset cannot be opened, or one is named twice.
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
                    model, split, datamodule=datamodule, options=words, drop=left_out, device=device, **opening
                )
                subject = replace(subject, dataset=config)
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


def _name_and_options(dataset: Dataset) -> tuple[str, list[str]]:
    if isinstance(dataset, str):
        return dataset, []
    if not isinstance(dataset, Mapping) or not isinstance(dataset.get("name"), str):
        raise UserError(
            f"datasets contains {dataset}: each item must be the name of a dataset, or a mapping with its name and "
            "options, e.g. datasets=[ferplus,{name:facs,difficulty:0.8}]."
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
        raise UserError(f"{option} contains {name} twice: remove one of them.")
    return name


def _short_names(paths: Sequence[str]) -> list[str]:
    """Name models by the shortest endings of their paths that are distinct.

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
    """Return a sentence if the faces and the model's training faces are aligned differently."""
    told = model.metadata.get("alignment")
    own = told.get("template") if isinstance(told, Mapping) else model.preprocess.to_config().get("alignment")
    datamodule = subject.datamodule
    template = dataset_info(datamodule.dataset).template
    if datamodule.alignment is None and template is None:
        return ""
    theirs = describe_alignment(datamodule.alignment, datamodule.dataset, datamodule.size, template)["template"]
    if own is None or str(own).partition(" ")[0] == str(theirs).partition(" ")[0]:
        return ""
    return f"faces aligned as {theirs}, but the model was trained on faces aligned as {own}"
