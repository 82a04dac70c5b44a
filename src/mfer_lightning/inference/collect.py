"""Every face of a split through the network once, whatever the number of ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from mfer_lightning.files import atomic_path
from mfer_lightning.module import FERModule
from mfer_lightning.views import ONE_VIEW, Views


@dataclass(frozen=True)
class Outputs:
    """What a network said of N faces, sorted by row.

    Args:
        index: (N,) int64 rows in the FaceIndex, each once.
        logits: (N,K) float32.
        feature: (N,D) float32.
    """

    index: NDArray[np.int64]
    logits: NDArray[np.float32]
    feature: NDArray[np.float32]


def collect(trainer: L.Trainer, module: FERModule, loader: DataLoader[Any], *, views: Views = ONE_VIEW) -> Outputs:
    """Predict a whole split, in float32.

    Args:
        trainer: runs the loop on its devices; all ranks must call this together.
        module: the network with the weights to use.
        loader: batches of the split; padding rows (index -1) and repeats are left out of the result.
        views: what logits and features are averaged over.

    Returns:
        The outputs of all ranks together, the same on each.
    """
    module.views = views
    batches = trainer.predict(module, loader, return_predictions=True) or []
    parts = [{k: v.cpu().numpy() for k, v in batch.items()} for batch in batches]  # type: ignore[union-attr]
    if trainer.world_size > 1:
        gathered: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(gathered, parts)
        parts = [part for rank in gathered for part in rank]
    index = np.concatenate([p["index"] for p in parts])
    rows, first = np.unique(index, return_index=True)
    first = first[rows >= 0]
    return Outputs(
        index=index[first],
        logits=np.concatenate([p["logits"] for p in parts])[first],
        feature=np.concatenate([p["feature"] for p in parts])[first],
    )


def write_features(
    path: Path,
    index: NDArray[np.int64],
    feature: NDArray[np.float32],
    label: NDArray[np.int64],
    attributes: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write ``features_<split>.npz``: ``index`` (N,), ``feature`` (N,D) in float16, ``label`` (N,), attributes (N,).

    Half precision halves the file, and three digits are plenty for figures; what lies beyond its range is clipped.
    What the dataset says of each face (``attribute_skin``, ...) stands beside it, so that figures can be made by
    subgroup without the dataset.
    """
    limit = float(np.finfo(np.float16).max)
    further: dict[str, Any] = {f"attribute_{name}": values for name, values in (attributes or {}).items()}
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, index=index, feature=feature.clip(-limit, limit).astype(np.float16), label=label, **further
        )
