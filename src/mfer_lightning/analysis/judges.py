"""Predict training faces with networks that were not trained on them, for the audit of label noise.

These out-of-sample predictions come from networks that were each trained on a part of the training set; in this module,
a network judges a face if it was not trained on it. A checkpoint records what it was trained on: the configuration of
the dataset, and a hash of faces, labels and splits. The faces are read again with that configuration, and the hash
shows whether they are unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from mfer_lightning.bundled.registry import find_bundled
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.datasets.registry import find_dataset
from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import checkpoint_path
from mfer_lightning.inference.dataset import dataset_config, open_dataset, stored_config
from mfer_lightning.inference.match_classes import match_classes
from mfer_lightning.inference.model import FERModel, choose_device, read_model, usual_batch
from mfer_lightning.inference.predict_split import predict_split
from mfer_lightning.plurals import counted
from mfer_lightning.views import Views

#: Options of a dataset that may differ between the networks, because they do not change faces or labels, or because
#: they select the part (``hold_out``).
_FREE = ("hold_out", "root", "cache", "cache_dir", "batch_size", "num_workers", "pin_memory", "augment")


@dataclass(frozen=True, eq=False)
class Judged:
    """Predictions for the faces of a training set, each by networks that were not trained on that face.

    Args:
        datamodule: the dataset with the whole training set.
        rows: (N,) int64 rows of the index, ascending.
        probabilities: (N,K) float64, the mean over the networks that judged each face.
        judges: (N,) int64 number of networks that judged each face, at least 1.
        checkpoints: files of the networks.
        config: the configuration of the dataset, without ``hold_out``.
    """

    datamodule: FaceDataModule
    rows: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    judges: NDArray[np.int64]
    checkpoints: tuple[str, ...]
    config: Mapping[str, Any]


def judge_training_set(
    checkpoints: Sequence[str | PathLike[str]],
    *,
    device: str = "auto",
    data: str | None = None,
    cache: str | None = None,
    loader: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda words: None,
) -> Judged:
    """Predict each face of a training set with the networks that were not trained on it.

    A face that shares a photo or a person with a training face of a network is not predicted by that network.

    Args:
        checkpoints: runs, checkpoints, or folders of runs (a sweep), trained on parts of one training set
            (``dataset.hold_out=1/3`` and so on).
        device: ``"auto"``, or a torch device.
        data: the data root; None: ``MFER_DATA`` if it is set, otherwise the root used for training.
        cache: folder of decoded images.
        loader: ``eval_batch_size`` and ``num_workers``.
        progress: called with one line per network, before it predicts.

    Raises:
        UserError: if a checkpoint does not record its training data, the files have changed since, the networks were
            trained on different datasets or labels, a network was initialised from or trained with a model that may
            have seen the other faces, or a face was used to train all networks.
    """
    found = {file.resolve(): file for where in checkpoints for file in run_checkpoints(where)}
    files = list(found.values())  # a network that is named twice is used once
    sizes = {"num_workers": 2, **(loader or {})}
    if sizes.get("eval_batch_size") is None:
        sizes["eval_batch_size"] = usual_batch(choose_device(device))
    whole: FaceDataModule | None = None
    first: dict[str, Any] = {}
    total: NDArray[np.float64] = np.zeros(0)
    judges: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    for file in files:
        model = read_model(file, device)
        config = _trained_on(model, file, data)
        seen = open_dataset(config, sizes, cache)
        if seen.data_hash != model.metadata.get("data_hash"):
            raise UserError(
                f"{file} was not trained on the faces and labels that {seen.root} now contains, so its training faces "
                "are unknown. Restore the files and lists that it was trained on, or train it again."
            )
        _refuse_seen_before(model, file, seen)
        if whole is None:
            first = config
            whole = open_dataset({**config, "hold_out": None}, sizes, cache)
            total = np.zeros((len(whole.splits.train), len(whole.class_names)))
            judges = np.zeros(len(total), dtype=np.int64)
        _compare(first, config, files[0], file)
        unseen = _unseen(whole, seen)
        if len(unseen):
            progress(f"{file}: {counted(len(unseen), 'face')} that it was not trained on")
            columns = match_classes(model.class_names, whole.class_names).columns
            outputs = predict_split(model, whole, "train", views=Views.of_metadata(model.metadata), positions=unseen)
            by_row = unseen[np.argsort(whole.splits.train.rows[unseen])]  # outputs are sorted by row
            total[by_row] += softmax(outputs.logits[:, columns].astype(np.float64), axis=1)
            judges[by_row] += 1
    if whole is None:
        raise UserError(_HOW)
    _refuse_unjudged(whole, judges, files)
    order = np.argsort(whole.splits.train.rows)
    described = {**first, "hold_out": None}
    probabilities = (total / judges[:, None])[order]
    names = tuple(map(str, files))
    return Judged(whole, whole.splits.train.rows[order], probabilities, judges[order], names, described)


_HOW = (
    "noise=audit needs networks that were not trained on the faces they judge. Train one network per part of the "
    "training set with mfer -m ... dataset.hold_out=1/3,2/3,3/3 name=parts, and use all of them: checkpoint=runs/parts."
)


def run_checkpoints(where: str | PathLike[str]) -> list[Path]:
    """Find the selected checkpoint of a run, or of each run in a folder (a sweep).

    Args:
        where: a run, a checkpoint, or a folder of runs.

    Raises:
        UserError: if there is no checkpoint, or a run of the folder is not finished.
    """
    folder = Path(where).expanduser()
    runs = sorted(path.parent for path in folder.glob("*/checkpoints")) if folder.is_dir() else []
    if not runs or (folder / "checkpoints").is_dir():
        return [checkpoint_path(where)]
    for run in runs:
        if not (run / "result.json").is_file():
            raise UserError(f"The run {run} is not finished. Resume it with the same command, or move it elsewhere.")
    return [checkpoint_path(run) for run in runs]


def _trained_on(model: FERModel, file: Path, data: str | None) -> dict[str, Any]:
    stored = stored_config(model.metadata)
    if stored is None or "dataset" not in stored or not model.metadata.get("data_hash"):
        raise UserError(
            f"{file} does not record which faces it was trained on, so it cannot be used to audit labels. Use a "
            "checkpoint written by mfer train."
        )
    return dataset_config(None, [], stored, data)


def _compare(first: Mapping[str, Any], config: Mapping[str, Any], a: Path, b: Path) -> None:
    for key in dict.fromkeys((*first, *config)):
        if key not in _FREE and first.get(key) != config.get(key):
            raise UserError(
                f"{b} was trained with dataset.{key}={config.get(key)} and {a} with {first.get(key)}. All networks of "
                "an audit must be trained on parts of the same training set."
            )


def _unseen(whole: FaceDataModule, seen: FaceDataModule) -> NDArray[np.int64]:
    """Return the positions of training faces that share no photo or person with a network's training faces."""
    rows, trained = whole.splits.train.rows, seen.splits.train.rows
    fresh = ~np.isin(rows, trained)
    if whole.index.group is not None:
        fresh &= ~np.isin(whole.index.group[rows], whole.index.group[trained])
    return np.flatnonzero(fresh)


def _refuse_unjudged(whole: FaceDataModule, judges: NDArray[np.int64], files: Sequence[Path]) -> None:
    seen = np.flatnonzero(judges == 0)
    if len(seen) == 0:
        return
    face = whole.index.path[whole.splits.train.rows[seen[0]]]
    by = f"{files[0]} was" if len(files) == 1 else f"All {len(files)} networks were"
    raise UserError(
        f"{by} trained on {len(seen):,} of the {counted(len(judges), 'face')} to judge, such as {face}, and would "
        f"repeat their labels. {_HOW.partition('. ')[2]}"
    )


def _refuse_seen_before(model: FERModel, file: Path, seen: FaceDataModule) -> None:
    """Reject a network whose initial weights or teacher come from a model that was trained on other parts.

    The initial weights and teachers of that model are checked as well, recursively.
    """
    info = find_dataset(seen.dataset)
    same = {seen.dataset, *(() if info is None else info.shares_faces_with)}
    left, known = list(_source_models(model.metadata)), set()
    while left:
        what, path = left.pop()
        if path in known:
            continue
        known.add(path)
        if find_bundled(path) is None and not Path(path).expanduser().exists():
            print(
                f"Note: {file} {what} {path}, which no longer exists and may have been trained on the judged faces.",
                flush=True,
            )
            continue
        described: Mapping[str, Any] = {}
        with suppress(UserError):  # not a model of this package
            described = read_model(path, "cpu", verify=False).metadata
        if str(described.get("protocol")).partition("@")[0] in same and (
            described.get("data_hash") != model.metadata.get("data_hash")
        ):
            raise UserError(
                f"{file} {what} {path}, which was trained on other faces of {seen.dataset}, possibly on the faces to "
                "judge. Train it without that model, or use weights and teachers trained on the same part."
            )
        left += _source_models(described)


def _source_models(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the models that a network was initialised from or trained with: the relation in words, and the path."""
    weights = str((metadata.get("config") or {}).get("weights") or "none")
    if weights.endswith((".ckpt", ".safetensors")) or find_bundled(weights) is not None:
        yield "was initialised from", weights
    for record in metadata.get("teachers") or ():
        yield "was trained with the teacher", str(record["path"])
