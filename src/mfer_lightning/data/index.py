"""The table of faces that is read from a dataset, and from which splits, batches and statistics are derived."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.plurals import counted

#: Names of the dataset partitions.
PARTITIONS = ("train", "val", "test")


@dataclass(frozen=True)
class FaceIndex:
    """Table with one row per face, as read from the files of a dataset, before a protocol is applied.

    Args:
        dataset: name of the dataset, e.g. ``"ferplus"``.
        layout: detected layout, in words, e.g. ``"PNG folders with label.csv"``.
        root: folder that the paths are relative to.
        class_names: the K canonical class names, in the order of the dataset.
        path: (N,) str, relative to ``root``, separated by ``/``.
        partition: (N,) str, the official partition of each face: train, val or test.
        label: (N,) int64 index into ``class_names``; -1 if the dataset has votes instead of a label.
        votes: (N,V) int64 annotators' votes, or None.
        vote_names: the V names of the vote columns.
        mixture: (N,K) float32, true weight of each emotion in a face, if known (rendered faces), or None.
        group: (N,) int64 group of each face, e.g. its photo or person; a group must stay in one split. None: no groups.
        box: (N,4) int64 face boxes x, y, width, height in pixels of the image; None if the images are face crops.
        attributes: further columns of length N (``gender``, ``age``, ``skin``, ...), for results by subgroup;
            ``valence`` and ``arousal``, float32 within [-1, 1] and NaN if unknown, are also included in batches.
        notes: information about the files for the user, as sentences; not part of the fingerprint.

    Raises:
        ValueError: if columns differ in length or contain invalid values.
    """

    dataset: str
    layout: str
    root: Path
    class_names: tuple[str, ...]
    path: NDArray[np.str_]
    partition: NDArray[np.str_]
    label: NDArray[np.int64]
    votes: NDArray[np.int64] | None = None
    vote_names: tuple[str, ...] = ()
    mixture: NDArray[np.float32] | None = None
    group: NDArray[np.int64] | None = None
    box: NDArray[np.int64] | None = None
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.path)
        own = {name: getattr(self, name) for name in ("partition", "label", "votes", "mixture", "group", "box")}
        for name, column in (own | dict(self.attributes)).items():
            if column is not None and len(column) != n:
                raise ValueError(
                    f"Expected column `{name}` to have {counted(n, 'row')} like `path`, but got {len(column)}."
                )
        unknown = set(np.unique(self.partition).tolist()) - set(PARTITIONS)
        if unknown:
            raise ValueError(f"Expected `partition` to contain only {PARTITIONS}, but got {sorted(unknown)}.")
        if n and (self.label.min() < -1 or self.label.max() >= len(self.class_names)):
            raise ValueError(
                f"Expected `label` within [-1, {len(self.class_names) - 1}], "
                f"but got {self.label.min()} to {self.label.max()}."
            )
        if self.votes is not None and self.votes.shape[1] != len(self.vote_names):
            raise ValueError(f"Expected {self.votes.shape[1]} `vote_names`, but got {len(self.vote_names)}.")

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[str, str, int]], **columns: Any) -> FaceIndex:
        """Build an index from one row per face.

        Args:
            rows: path, partition and label of each face.
            columns: the other arguments of the class.
        """
        paths, partitions, labels = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(
            path=np.array(paths, dtype=str),
            partition=np.array(partitions, dtype=str),
            label=np.array(labels, dtype=np.int64),
            **columns,
        )

    def __len__(self) -> int:
        return len(self.path)

    @property
    def valence_arousal(self) -> NDArray[np.float32] | None:
        """(N,2) float32 valence and arousal, NaN if unknown; None if the dataset has no such attributes.

        Values outside [-1, 1], such as AffectNet's -2, count as unknown.
        """
        found = [np.asarray(self.attributes.get(name)) for name in ("valence", "arousal")]
        if not all(np.issubdtype(column.dtype, np.number) for column in found):
            return None
        values = np.stack(found, axis=1).astype(np.float32)
        return np.where(np.abs(values) <= 1, values, np.float32(np.nan))

    def fingerprint(self) -> str:
        """Return the SHA-256 over paths, partitions, labels, votes, boxes and class names, to identify the data."""
        digest = hashlib.sha256()
        for column in (self.path, self.partition):
            digest.update("\n".join(column.tolist()).encode())
        for numbers in (self.label, self.votes, self.box):
            if numbers is not None:
                digest.update(np.ascontiguousarray(numbers, dtype="<i8").tobytes())
        digest.update("\n".join(self.class_names).encode())
        return digest.hexdigest()
