"""Note in a result that the model was trained, or its epoch selected, on faces of the evaluated split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.datasets.registry import dataset_info, find_protocol
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.inference.dataset import stored_config
from mfer_lightning.inference.predict_split import SplitName


def seen_faces(metadata: Mapping[str, Any], datamodule: FaceDataModule, split: SplitName) -> list[str]:
    """Compare the faces of a split with those that a model was trained and selected on.

    Args:
        metadata: metadata of the model.
        datamodule: the dataset, with its labels read.
        split: the evaluated split.

    Returns:
        Notes as sentences; empty if the model has not seen the faces, if the split is val of its own protocol, or if
        what it was trained on is unknown.
    """
    trained_on = str(metadata.get("protocol"))
    origin, protocol = find_protocol(trained_on), datamodule.protocol
    if origin is None:
        return []
    info = dataset_info(protocol.dataset)
    if origin.dataset != protocol.dataset:
        if origin.dataset not in info.shares_faces_with:
            return []
    elif info.user_defined and metadata.get("data_hash") != datamodule.data_hash:
        return _of_changed_files(metadata.get("split_hashes"), origin, datamodule, split)
    elif split == "train":
        return ["the model was trained on these faces, so the results do not measure generalisation"]
    elif protocol.name == trained_on and split == "val" and not protocol.cuts_partition:
        return []  # not used for training, and selection on val needs no note
    if origin.cuts_partition:
        trained = (stored_config(metadata) or {}).get("dataset") or {}
        origin = origin.at_fold(trained.get("fold"))
        if (origin.name, origin.fold) == (protocol.name, protocol.fold):
            return []
    partitions = set(np.unique(datamodule.index.partition[datamodule.splits[split].rows]).tolist())
    notes = []
    if partitions & set(origin.train):
        notes.append(f"the model was trained under {trained_on}, which trains on faces of this split")
    if origin.val in partitions:
        notes.append(f"the model was trained under {trained_on}, which selects its epoch on faces of this split")
    return notes


def _of_changed_files(stored: Any, origin: Protocol, datamodule: FaceDataModule, split: SplitName) -> list[str]:
    """Describe how the user's faces differ from those of the training run, if the checkpoint has hashes of its splits.

    The hashes cover file names and labels, so equal hashes do not prove that the pictures are the same.
    """
    dataset, now = datamodule.dataset, datamodule.split_hashes()

    def same(name: str, what: str) -> bool:
        then = stored.get(name) if isinstance(stored, Mapping) else None
        return isinstance(then, Mapping) and then.get(what) == now[name][what]

    if not same(split, "faces"):
        return [
            f"the model was trained on dataset={dataset} with other faces, labels or splits, which may include these "
            "faces"
        ]
    if split == "train":
        labels = "" if same("train", "labels") else " but other labels"
        return [
            f"the model was trained on faces with the same file names{labels}, so the results probably do not measure "
            "generalisation"
        ]
    changed = [
        *([] if same("train", "faces") else ["training faces"]),
        *(["training labels"] if same("train", "faces") and not same("train", "labels") else []),
        *([] if same(split, "labels") else [f"{split} labels"]),
    ]
    if not changed:
        return []
    selected = split == "val" and not origin.takes_last_epoch
    then = "those on which the checkpoint was selected" if selected else "in the training run"
    return [
        f"the {' and the '.join(changed)} of dataset={dataset} differ from those of the training run (the files or the "
        f"dataset options have changed); the {split} faces have the same file names as {then}, but their contents "
        f"were not compared, so the model may have been trained {'or selected ' if selected else ''}on them"
    ]
