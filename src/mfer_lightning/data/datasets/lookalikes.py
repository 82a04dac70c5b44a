"""Reject copies with the file names or exact counts of another dataset, whose label numbers mean other classes."""

from __future__ import annotations

import re

import numpy as np

from mfer_lightning.data.datasets.declaration import DatasetInfo
from mfer_lightning.data.datasets.registry import dataset_infos, find_dataset, named_like
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.errors import UserError

#: Maximum number of file names to compare, spread evenly over the index.
SAMPLE = 1000


def refuse_lookalike(index: FaceIndex) -> None:
    """Reject faces that seem to belong to another dataset, judged by file names and class counts.

    Counts match if the numbers of faces by class in a partition are exactly those in a partition of the other dataset,
    in any order, as in a renumbered copy. A copy with the dataset's own expected counts in another order is rejected
    too. Counts that are the same for all classes never match, because they do not identify a dataset.

    Args:
        index: the index that was read.

    Raises:
        UserError: if the files seem to belong to another dataset, or to be numbered in another order.
    """
    own = find_dataset(index.dataset)
    related = {index.dataset} if own is None else {own.name, *own.shares_faces_with}
    rows = np.linspace(0, len(index) - 1, min(len(index), SAMPLE)).astype(int)
    names = [str(path).rpartition("/")[2] for path in index.path[rows]]
    known = named_like(names)
    alike = () if own is None else own.named_like
    if known is not None and known.name not in (*related, *alike):
        example = next(name for name in names if re.fullmatch(known.file_names, name))
        raise _refusal(index, known, f"its files are named like those of {known.title} ({example})")
    for partition in np.unique(index.partition).tolist():
        labels = index.label[index.partition == partition]
        counts = tuple(np.bincount(labels[labels >= 0], minlength=len(index.class_names)).tolist())
        for info in dataset_infos():
            if info.name not in related - {index.dataset} and _reordered(info, counts, info.name == index.dataset):
                raise _refusal(index, info, f"its {partition} classes have exactly the counts of {info.title}")


def _reordered(info: DatasetInfo, counts: tuple[int, ...], own: bool) -> bool:
    """Whether counts match those of a dataset; for the dataset itself, whether they do so only in another order."""
    exact = {e.count for protocol in info.protocols for e in protocol.expected if isinstance(e.count, tuple)}
    alike = [one for one in exact if sorted(one) == sorted(counts) and len(set(one)) > 1]
    return bool(alike) and not (own and counts in alike)


def _refusal(index: FaceIndex, known: DatasetInfo, why: str) -> UserError:
    if known.name == index.dataset:
        return UserError(
            f"{index.root} ({index.layout}): {why}, in another order (expected {', '.join(index.class_names)}), so "
            "its classes are numbered differently and most labels would be wrong. Download the labels again, or use "
            "dataset.trust_labels=true if they are correct."
        )
    return UserError(
        f"{index.root} ({index.layout}) was given as {index.dataset}, but {why}, whose label numbers mean "
        f"other emotions. Use dataset={known.name} dataset.root={index.root}, or dataset.trust_labels=true if its "
        f"labels are nevertheless those of {index.dataset}."
    )
