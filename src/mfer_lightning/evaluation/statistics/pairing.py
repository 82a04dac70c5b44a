"""Align prediction tables, so that row i is the same face in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.predictions import PADDING, Predictions
from mfer_lightning.plurals import counted


def same_images(tables: Sequence[Predictions]) -> list[Predictions]:
    """Sort tables of one split into the same order, without padding rows and unlabelled rows.

    Faces are matched by path if the paths in every table are unique, otherwise by index.

    Args:
        tables: at least one; all with the same classes.

    Returns:
        The tables; row i is the same face with the same label in each.

    Raises:
        ValueError: if classes, faces or labels differ; the message names the first difference.

    Example:
        >>> a = Predictions([0, 1], ["a", "b"], [0, 1], [[1, 0], [0, 1]], ("anger", "fear"))
        >>> b = Predictions([9, 4], ["b", "a"], [1, 0], [[1, 0], [0, 1]], ("anger", "fear"))
        >>> [table.path.tolist() for table in same_images([a, b])]
        [['a', 'b'], ['a', 'b']]
    """
    if not tables:
        raise ValueError("Expected argument `tables` to contain at least one table, but got none.")
    labelled = [t.select((t.index != PADDING) & (t.label >= 0)) for t in tables]
    first = labelled[0]
    if not len(first):
        raise ValueError("Expected argument `tables` to contain labels, but the first table has none.")
    by_path = all(len(np.unique(t.path)) == len(t) for t in labelled)
    ordered = [t.select(np.argsort(t.path if by_path else t.index, kind="stable")) for t in labelled]
    first = ordered[0]
    for number, table in enumerate(ordered[1:], start=2):
        if table.class_names != first.class_names:
            raise ValueError(
                f"Expected argument `tables` to agree in class_names, but table 1 has {', '.join(first.class_names)} "
                f"and table {number} {', '.join(table.class_names)}."
            )
        names, others = (first.path, table.path) if by_path else (first.index, table.index)
        if not np.array_equal(names, others):
            alone = np.setxor1d(names, others)
            raise ValueError(
                f"Expected argument `tables` to contain the same faces, but tables 1 ({counted(len(first), 'face')}) "
                f"and {number} ({counted(len(table), 'face')}) differ in {len(alone)} (first: "
                f"{alone[0] if len(alone) else 'a repeated face'})."
            )
        torn = first.label != table.label
        if torn.any():
            row = int(np.flatnonzero(torn)[0])
            raise ValueError(
                f"Expected argument `tables` to agree in labels, but tables 1 and {number} differ in {int(torn.sum())} "
                f"of {len(first)} (first: {names[row]}). The label files differ."
            )
    return ordered


def correct_matrix(tables: Sequence[Predictions]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which faces each run predicted correctly, the input of :func:`.methods.compare_methods`.

    Args:
        tables: one prediction table per seed, for the same images (see :func:`same_images`).

    Returns:
        ``correct`` (seeds, images) bool and ``labels`` (images,) int64. To compare methods, call this once with the
        runs of all methods and split the rows, so that all share the order of images.

    Raises:
        ValueError: if the tables do not contain the same images.
    """
    ordered = same_images(tables)
    return np.stack([t.pred == t.label for t in ordered]), ordered[0].label
