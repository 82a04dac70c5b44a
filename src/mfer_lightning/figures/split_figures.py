"""Draw the figures of an evaluated split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.figures.confusion import plot_confusion
from mfer_lightning.figures.embedding import plot_embedding
from mfer_lightning.figures.per_class import plot_per_class
from mfer_lightning.figures.plane import Plane
from mfer_lightning.figures.reliability import plot_reliability
from mfer_lightning.figures.robustness import plot_lists


def draw_figures(folder: Path, result: Mapping[str, Any], table: Predictions, embedding_points: int) -> None:
    """Draw confusion matrix, recall of each class, reliability, accuracy on lists and embedding (``folder/figures``).

    Args:
        folder: folder of the results; an embedding requires ``features_<split>.npz`` of the same faces in it.
        result: the content of ``result.json``.
        table: the predictions behind it.
        embedding_points: number of faces in the embedding; if it is below the number of classes, there is no embedding,
            and an earlier one is removed.
    """
    figures, where = folder / "figures", f"{result['protocol']}, {result['split']}"
    plot_confusion(result["confusion"], result["class_names"], figures / "confusion.png", f"Confusion matrix ({where})")
    plot_per_class(result["per_class"], figures / "per_class.png", f"Recall of each class ({where})")
    plot_reliability(table.probabilities, table.label, figures / "reliability.png")
    if result.get("lists"):
        plot_lists(result, figures / "lists.png", f"Lists of faces ({where})")
    else:
        (figures / "lists.png").unlink(missing_ok=True)  # from an earlier evaluation with lists
    if embedding_points < len(table.class_names):
        (figures / "embedding.png").unlink(missing_ok=True)  # from an earlier evaluation
        return
    with np.load(folder / f"features_{result['split']}.npz") as stored:
        feature = stored["feature"].astype(np.float32)
        plane = Plane(stored["tsne"], stored["tsne_row"]) if "tsne" in stored else None
    plot_embedding(
        feature,
        table.label,
        table.class_names,
        figures / "embedding.png",
        max_points=embedding_points,
        seed=result["seed"],
        plane=plane,
    )
