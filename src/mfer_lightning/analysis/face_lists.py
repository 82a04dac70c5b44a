"""Measure accuracy on subsets of faces listed by file name, e.g. occluded or non-frontal faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.analysis.accuracy_intervals import Right, point
from mfer_lightning.data.labels.face_lists import FaceList, match_list, read_names
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.predictions import Predictions


def read_lists(files: Mapping[str, Any]) -> dict[str, list[str]]:
    """Read the lists given on the command line.

    Args:
        files: name -> file.

    Returns:
        Name -> file names.

    Raises:
        UserError: if a value is not a file name, or :func:`read_names` rejects the file.
    """
    for name, path in files.items():
        if not isinstance(path, str) or not path:
            raise UserError(f"lists.{name}={path}: the value must be a text or csv file that lists file names.")
    return {name: read_names(path) for name, path in files.items()}


def match_lists(
    lists: Mapping[str, Sequence[str]], paths: Sequence[str], measured: NDArray[np.int64], among: str = "the dataset"
) -> list[FaceList]:
    """Match several lists with :func:`match_list`.

    Args:
        lists: name -> file names.
        paths: paths of all faces in the index.
        measured: rows of the index that are measured.
        among: what is searched, for error messages.

    Raises:
        UserError: if none of the faces of a list is measured.
    """
    return [match_list(name, names, paths, measured, among) for name, names in lists.items()]


def list_figures(
    lists: Sequence[FaceList],
    rows: NDArray[np.int64],
    right: Right,
    label: NDArray[np.int64],
    groups: NDArray[np.int64] | None = None,
) -> dict[str, dict[str, Any]]:
    """Compute the accuracy on the faces of each list, and on all other faces.

    Args:
        lists: the matched lists.
        rows: (N,) rows of the index that were measured.
        right: (N,) whether each face was predicted correctly.
        label: (N,) class of each face.
        groups: (N,) photo or person of each face, or None.

    Returns:
        Name of a list -> plain values: counts of matched and unmatched names, a description ``said``, and the
        accuracies ``subset`` and ``rest`` (None if there are no other faces), see
        :func:`~mfer_lightning.analysis.accuracy_intervals.point`.
    """

    def measured(faces: NDArray[np.bool_]) -> dict[str, Any]:
        return point(right[faces], label[faces], None if groups is None else groups[faces])

    figures: dict[str, dict[str, Any]] = {}
    for found in lists:
        inside = np.isin(rows, found.rows)
        figures[found.name] = {
            "listed": found.listed,
            "repeated": found.repeated,
            "elsewhere": len(found.elsewhere),
            "unknown": len(found.unknown),
            "said": found.describe(),
            "subset": measured(inside),
            "rest": None if inside.all() else measured(~inside),
        }
    return figures


def measure_lists(
    lists: Sequence[FaceList], table: Predictions, result: dict[str, Any], groups: NDArray[np.int64] | None = None
) -> None:
    """Add the accuracy on lists of faces, and on all other faces, to an evaluation. Without lists, do nothing.

    Args:
        lists: the matched lists; their rows refer to ``table.index``.
        table: the predictions; faces without a label are ignored.
        result: changed in place: gets an entry ``lists``, and in ``notes`` one sentence per list about its matches.
        groups: (N,) photo or person of each face of the table, or None.
    """
    if lists:
        labelled = table.label >= 0
        known, shared = table.select(labelled), None if groups is None else groups[labelled]
        result["lists"] = list_figures(lists, known.index, known.pred == known.label, known.label, shared)
        result["notes"] += [figures["said"] for figures in result["lists"].values()]
