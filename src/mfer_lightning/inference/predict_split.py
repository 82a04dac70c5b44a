"""A split of a dataset through a loaded model, as a table of predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfer_lightning.data.dataset import Change
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.inference.collect import Outputs
from mfer_lightning.inference.match_classes import ClassMatch
from mfer_lightning.inference.model import FERModel
from mfer_lightning.views import ONE_VIEW, Views

SplitName = Literal["train", "val", "test"]

#: Told after each batch how many faces are done.
Progress = Callable[[int], None]


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
    """Predict every face of a split once, in float32.

    Args:
        model: the model.
        datamodule: has read its labels (``setup("predict")``).
        split: which faces.
        views: what is averaged for one face.
        positions: which faces of the split, counted within it, and in which order they are met; None: all.
        change: what to do to the faces on the way, for robustness suites; None: nothing.
        progress: called with the number of faces done so far.

    Returns:
        Logits in the model's own class order, sorted by row.

    Raises:
        UserError: where the split is empty or a face cannot be read.
    """
    index: list[Tensor] = []
    logits: list[Tensor] = []
    feature: list[Tensor] = []
    for batch in datamodule.predict_dataloader(split, positions, change):
        output = model(batch["image"], views=views)
        index.append(batch["index"])
        logits.append(output["logits"].cpu())
        feature.append(output["feature"].cpu())
        if progress is not None:
            progress(len(batch["index"]))
    rows = torch.cat(index).numpy()
    order = np.argsort(rows)
    order = order[rows[order] >= 0]
    return Outputs(rows[order], torch.cat(logits).numpy()[order], torch.cat(feature).numpy()[order])


def tabulate(
    datamodule: FaceDataModule,
    split: SplitName,
    outputs: Outputs,
    match: ClassMatch,
    positions: NDArray[np.int64] | None = None,
) -> tuple[Predictions, NDArray[np.bool_]]:
    """Join outputs and truth over the common classes.

    Args:
        datamodule: of the faces.
        split: which.
        outputs: of all its faces.
        match: from the model's logits and the dataset's labels to the common classes.
        positions: which faces of the split were predicted, counted within it; None: all.

    Returns:
        The table, without the faces of dropped classes, and which of the outputs are in it.
    """
    part, index = datamodule.splits[split], datamodule.index
    order = np.argsort(part.rows) if positions is None else positions[np.argsort(part.rows[positions])]
    if not np.array_equal(part.rows[order], outputs.index):
        raise RuntimeError(
            f"The {split} split was to give {len(order)} faces, but {len(outputs.index)} were predicted."
        )
    label = match.to_common[part.label[order]]
    target = part.target[order][:, match.to_common >= 0]
    keep = label >= 0
    votes = None if index.votes is None else index.votes[outputs.index][keep]
    table = Predictions(
        index=outputs.index[keep],
        path=index.path[outputs.index][keep],
        label=label[keep],
        logits=outputs.logits[:, match.columns][keep],
        class_names=match.names,
        target=target[keep],
        votes=votes,
        vote_names=index.vote_names,
    )
    return table, keep


def groups_of(datamodule: FaceDataModule, table: Predictions) -> NDArray[np.int64] | None:
    """Give which faces of a table belong together (one photo, one person), (N,); None where the dataset has none."""
    group = datamodule.index.group
    return None if group is None else group[table.index]
