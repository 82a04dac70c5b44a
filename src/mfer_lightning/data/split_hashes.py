"""Hash the file names and the labels of each split separately, to find out which of them changed after training."""

from __future__ import annotations

import hashlib

import numpy as np

from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.splits import Splits


def split_hashes(index: FaceIndex, splits: Splits) -> dict[str, dict[str, str]]:
    """Hash the splits of an index. The contents of the files are not read.

    Args:
        index: the faces.
        splits: rows, labels and targets of each split.

    Returns:
        Split (train, val, test) -> ``faces``: SHA-256 of the sorted paths; ``labels``: SHA-256 of the class names and
        the labels in the order of these paths, for train also of the targets.
    """
    found = {}
    for name in ("train", "val", "test"):
        split = splits[name]
        paths = index.path[split.rows]
        order = np.argsort(paths, kind="stable")
        labels = hashlib.sha256("\n".join(index.class_names).encode())
        labels.update(np.ascontiguousarray(split.label[order], dtype="<i8").tobytes())
        if name == "train":  # the targets of the other splits depend on the target rule of training
            labels.update(np.ascontiguousarray(split.target[order], dtype="<f4").tobytes())
        faces = hashlib.sha256("\n".join(paths[order].tolist()).encode())
        found[name] = {"faces": faces.hexdigest(), "labels": labels.hexdigest()}
    return found
