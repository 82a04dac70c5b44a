"""Predict every face of a split once: with Lightning's Trainer on any number of ranks, or with a loaded model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from mfer_lightning.data.dataset import Change
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.workers import killed_worker_explained
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.figures.plane import Plane
from mfer_lightning.files import atomic_path
from mfer_lightning.inference.match_classes import ClassMatch
from mfer_lightning.inference.model import FERModel
from mfer_lightning.module import FERModule
from mfer_lightning.views import ONE_VIEW, Views

SplitName = Literal["train", "val", "test"]

#: Called after each batch with the number of faces in it.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Outputs:
    """A network's outputs for N faces, sorted by row.

    Args:
        index: (N,) int64 rows in the FaceIndex, each once.
        logits: (N,K) float32.
        feature: (N,D) float32.
        valence_arousal: (N,2) float32, or None if the network does not predict them.
    """

    index: NDArray[np.int64]
    logits: NDArray[np.float32]
    feature: NDArray[np.float32]
    valence_arousal: NDArray[np.float32] | None = None

    @classmethod
    def of_batches(cls, batches: list[dict[str, NDArray[Any]]]) -> Outputs:
        """Join batches of these columns; padding rows (index -1) and repeats are left out."""
        names = ("index", "logits", "feature", *(n for n in ("valence_arousal",) if batches and n in batches[0]))
        joined = {name: np.concatenate([batch[name] for batch in batches]) for name in names}
        rows, first = np.unique(joined["index"], return_index=True)
        return cls(**{name: values[first[rows >= 0]] for name, values in joined.items()})


def predict_with_trainer(
    trainer: L.Trainer, module: FERModule, loader: DataLoader[Any], *, views: Views = ONE_VIEW
) -> Outputs:
    """Predict a whole split with a Trainer, in float32.

    Args:
        trainer: runs the loop on its devices; all ranks must call this together.
        module: the network with the weights to use.
        loader: batches of the split.
        views: views over which logits and features are averaged.

    Returns:
        The outputs of all ranks, the same on each rank.
    """
    module.views = views
    batches = trainer.predict(module, loader, return_predictions=True) or []
    parts = [{k: v.cpu().numpy() for k, v in batch.items()} for batch in batches]  # type: ignore[union-attr]
    if trainer.world_size > 1:
        gathered: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(gathered, parts)
        parts = [part for rank in gathered for part in rank]
    return Outputs.of_batches(parts)


def predict_split(
    model: FERModel,
    datamodule: FaceDataModule,
    split: SplitName,
    *,
    views: Views = ONE_VIEW,
    positions: NDArray[np.int64] | None = None,
    change: Change | None = None,
    progress: Progress | None = None,
) -> Outputs:
    """Predict a split with a loaded model, in the model's precision.

    Args:
        model: the model.
        datamodule: the dataset, with its labels read (``setup("predict")``).
        split: the split.
        views: views averaged for each face.
        positions: positions within the split, in reading order; None: all faces.
        change: change applied to the faces while they are read (robustness suite); None: no change.
        progress: called with the number of faces of each batch.

    Returns:
        Logits in the model's own class order, sorted by row.

    Raises:
        UserError: if the split is empty, a face cannot be read, or a loader worker was killed.
    """
    parts: list[dict[str, NDArray[Any]]] = []
    running: dict[str, Tensor] | None = None  # a GPU computes it while the next batch is transferred

    def collect() -> None:
        if running is not None:
            parts.append({name: value.cpu().numpy() for name, value in running.items()})
            if progress is not None:
                progress(len(running["index"]))

    with killed_worker_explained():
        for batch in datamodule.predict_dataloader(split, positions, change):
            following = {"index": batch["index"], **model(batch["image"], views=views)}
            collect()
            running = following
    collect()
    return Outputs.of_batches(parts)


def tabulate(
    datamodule: FaceDataModule,
    split: SplitName,
    outputs: Outputs,
    match: ClassMatch,
    positions: NDArray[np.int64] | None = None,
) -> tuple[Predictions, NDArray[np.bool_]]:
    """Join outputs and labels over the common classes.

    Args:
        datamodule: the dataset of the faces.
        split: the split.
        outputs: the outputs for the predicted faces.
        match: mapping of the model's logits and the dataset's labels to the common classes.
        positions: positions within the split of the predicted faces; None: all.

    Returns:
        The table, without the faces of dropped classes, and a mask of the outputs that are in the table.
    """
    part, index = datamodule.splits[split], datamodule.index
    order = np.argsort(part.rows) if positions is None else positions[np.argsort(part.rows[positions])]
    if not np.array_equal(part.rows[order], outputs.index):
        raise RuntimeError(f"The {split} split has {len(order)} faces, but {len(outputs.index)} were predicted.")
    label = match.to_common[part.label[order]]
    keep = label >= 0
    table = Predictions(
        index=outputs.index[keep],
        path=index.path[outputs.index][keep],
        label=label[keep],
        logits=outputs.logits[:, match.columns][keep],
        class_names=match.names,
        target=part.target[order][:, match.to_common >= 0][keep],
        votes=None if index.votes is None else index.votes[outputs.index][keep],
        vote_names=index.vote_names,
        **_valence_arousal(outputs, keep, index.valence_arousal),
    )
    return table, keep


def _valence_arousal(
    outputs: Outputs, keep: NDArray[np.bool_], known: NDArray[np.float32] | None
) -> dict[str, NDArray[np.float32]]:
    """Return the columns of predicted and true valence and arousal, if the network predicts them."""
    if outputs.valence_arousal is None:
        return {}
    found = {"valence_arousal": outputs.valence_arousal[keep]}
    return found if known is None else {**found, "true_valence_arousal": known[outputs.index][keep]}


def groups_of(datamodule: FaceDataModule, table: Predictions) -> NDArray[np.int64] | None:
    """Return the group (photo or person) of each face of a table, (N,); None if the dataset has no groups."""
    group = datamodule.index.group
    return None if group is None else group[table.index]


def write_features(
    path: Path,
    index: NDArray[np.int64],
    feature: NDArray[np.float32],
    label: NDArray[np.int64],
    attributes: Mapping[str, NDArray[Any]] | None = None,
    plane: Plane | None = None,
    group: NDArray[np.int64] | None = None,
) -> None:
    """Write ``features_<split>.npz``: ``index`` (N,), ``feature`` (N,D) in float16, ``label`` (N,), attributes (N,).

    With ``plane``, also ``tsne`` (M,2) and ``tsne_row`` (M,): 2-D coordinates of M faces and their rows in the file.
    With ``group``, also ``group`` (N,): which faces share a photo or a person.

    Half precision halves the file and is enough for figures; values beyond its range are clipped. The dataset's
    attributes of each face (``attribute_skin``, ...) allow figures by subgroup without the dataset.
    """
    limit = float(np.finfo(np.float16).max)
    further: dict[str, Any] = {f"attribute_{name}": values for name, values in (attributes or {}).items()}
    if group is not None:
        further["group"] = group
    if plane is not None:
        further |= {"tsne": plane.points.astype(np.float32), "tsne_row": plane.rows}
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, index=index, feature=feature.clip(-limit, limit).astype(np.float16), label=label, **further
        )
