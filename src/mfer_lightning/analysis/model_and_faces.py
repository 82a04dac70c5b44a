"""What ``mfer evaluate`` works on: a model, the faces that it is to meet, and where its results go."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.datasets.registry import find_protocol
from mfer_lightning.inference.checkpoint_path import run_folder
from mfer_lightning.inference.dataset_choice import dataset_config, open_dataset
from mfer_lightning.inference.match_classes import ClassMatch, match_classes
from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.inference.predict_split import SplitName
from mfer_lightning.memory import keep_freed_memory
from mfer_lightning.views import Views

#: Options of a dataset that say where it lies, or that the protocol's name says already.
_NO_OTHER_FACES = ("protocol", "root", "name", "cache", "cache_dir", "batch_size", "num_workers", "pin_memory")


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and the faces that it is to meet.

    Args:
        model: the model.
        datamodule: has read its labels.
        spec: the dataset's configuration.
        split: which faces.
        match: from the model's logits and the dataset's labels to the common classes.
        views: what is averaged for one face.
        folder: where the results go.
        told: options of the dataset that were given with the evaluation and make other faces of it, in words.
    """

    model: FERModel
    datamodule: FaceDataModule
    spec: Mapping[str, Any]
    split: SplitName
    match: ClassMatch
    views: Views
    folder: Path
    told: str = ""

    @property
    def protocol(self) -> str:
        """The protocol's name, marked where classes are left out."""
        return f"{self.datamodule.protocol.name}{self.match.mark}"

    @property
    def evaluation_set(self) -> str:
        """What the faces are, in words; faces made otherwise never stand beside the usual ones."""
        usual = self.datamodule.protocol.describe(self.split)
        return f"{usual}, with {self.told}" if self.told else usual


def open_subject(config: Mapping[str, Any], options: Sequence[str], suffix: str = "") -> Subject:
    """Load the model and read the labels that ``mfer evaluate`` was asked for.

    Args:
        config: plain resolved configuration of ``mfer evaluate``.
        options: ``dataset.<option>=<value>``.
        suffix: what to add to the name of the results' folder.

    Raises:
        UserError: for whatever the user can mend.
    """
    keep_freed_memory()
    model = read_model(config["checkpoint"], config["device"])
    stored = model.metadata.get("config")
    spec = dataset_config(config["dataset_name"], options, stored, config["paths"]["data"])
    datamodule = open_dataset(spec, config["loader"], config["paths"]["cache"])
    match = match_classes(model.class_names, datamodule.class_names, config["drop"])
    views = Views.of_metadata(model.metadata, config["flip"], config["shift"])
    told = _told(options)
    marks = (f"-{_fit(told)}" if told else "") + views.mark + suffix
    folder = _folder(config, model, datamodule.protocol.name + match.mark, marks)
    return Subject(model, datamodule, spec, config["split"], match, views, folder, told)


def describe_model(model: FERModel, views: Views) -> dict[str, Any]:
    """Say which model a result is of, in plain values."""
    return {
        "checkpoint": str(model.source),
        "trained_on": model.metadata.get("protocol"),
        "data_hash": model.metadata.get("data_hash"),
        "git": model.metadata.get("git"),
        "precision": model.metadata.get("precision"),
        "class_names": list(model.class_names),
        **views.to_config(),
    }


def _told(options: Sequence[str]) -> str:
    """Say which options make other faces of a dataset.

    Example:
        >>> _told(["dataset.protocol=paper", "dataset.occlusion=0.5", "dataset.difficulty=1"])
        'difficulty=1 occlusion=0.5'
    """
    parsed = OverridesParser.create().parse_overrides(list(options))
    given = {o.key_or_group.removeprefix("dataset."): o.value() for o in parsed}
    return " ".join(f"{key}={value}" for key, value in sorted(given.items()) if key not in _NO_OTHER_FACES)


def _fit(words: str) -> str:
    """Make words fit for the name of a folder."""
    plain = re.sub(r"[^\w.=-]+", "-", words)
    return plain if len(plain) <= 80 else hashlib.sha256(words.encode()).hexdigest()[:8]


def _folder(config: Mapping[str, Any], model: FERModel, protocol: str, marks: str) -> Path:
    """Choose where the results go: the same evaluation of the same checkpoint finds its folder again."""
    assert model.source is not None
    if config["output"] is not None:
        return Path(config["output"]).expanduser()
    run = run_folder(model.source)
    parent = Path(config["paths"]["runs"]).expanduser() / f"evaluate-{model.source.stem}" if run is None else run
    name = f"{protocol}-{config['split']}"
    if run is not None and model.source.stem != "best":
        name = f"{model.source.stem}-{name}"
    return parent / "evaluations" / (name + marks)


def doubts(model: FERModel, datamodule: FaceDataModule, split: SplitName) -> list[str]:
    """Say where a figure is not what it looks like: faces that the model was trained or selected on."""
    trained_on = str(model.metadata.get("protocol"))
    origin = find_protocol(trained_on)
    if origin is None or origin.dataset != datamodule.protocol.dataset:
        return []
    if split == "train":
        return ["the model was trained on these faces: this is no figure of how it does on others"]
    partitions = set(np.unique(datamodule.index.partition[datamodule.splits[split].rows]).tolist())
    notes = []
    held_out = datamodule.protocol.name == trained_on and split == "val"
    if partitions & set(origin.train) and not held_out:
        notes.append(f"{trained_on}, which the model was trained under, trains on faces of this split")
    if origin.val in partitions and not (datamodule.protocol.name == trained_on and split == "val"):
        notes.append(f"{trained_on}, which the model was trained under, selects its epoch on faces of this split")
    return notes


def left_out(match: ClassMatch, datamodule: FaceDataModule, split: SplitName) -> list[str]:
    """Say which classes are left out as asked, and how many faces with them."""
    if not match.dropped:
        return []
    lost = int((match.to_common[datamodule.splits[split].label] < 0).sum())
    names = ", ".join(match.dropped)
    return [f"left out as asked: {names} ({lost:,} faces; a view of {len(match.names)} classes)"]
