"""Examine a copy of a dataset and return the findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.doctor.duplicates import Pairs, find_duplicates
from mfer_lightning.data.doctor.findings import EXIT_CODES, Finding
from mfer_lightning.data.doctor.image_findings import duplicate_findings, image_findings
from mfer_lightning.data.doctor.label_findings import split_findings
from mfer_lightning.data.doctor.scan import Scan, scan

#: Names of the two dimensions of affect, in the column order of ``FaceIndex.valence_arousal``.
DIMENSIONS = ("valence", "arousal")

#: Legal values of ``images``.
IMAGES = ("all", "sample", "none")
SAMPLE = 2000


@dataclass(frozen=True)
class Examination:
    """Result of examining a copy of a dataset.

    Args:
        dataset: name of the dataset.
        layout: detected layout.
        root: folder of the dataset.
        protocol: ``dataset@protocol``.
        class_names: the K class names.
        counts: split -> number of faces per class.
        looks: statistics of sizes and colours; empty if no image was read.
        findings: findings, most severe first.
        valence_arousal: split -> number of faces, and number and range of the known values of each dimension; empty if
            the dataset has none.
        scan: scan of the images; None if no image was read.
        pairs: duplicates; None if no image was read.
    """

    dataset: str
    layout: str
    root: str
    protocol: str
    class_names: tuple[str, ...]
    counts: dict[str, list[int]]
    looks: dict[str, Any]
    findings: tuple[Finding, ...]
    valence_arousal: dict[str, dict[str, Any]] = field(default_factory=dict)
    scan: Scan | None = field(default=None, repr=False)
    pairs: Pairs | None = field(default=None, repr=False)

    @property
    def exit_code(self) -> int:
        """0: no problems, 1: usable with warnings, 2: unusable."""
        return max((EXIT_CODES[f.severity] for f in self.findings), default=0)


def examine(
    datamodule: FaceDataModule, images: str = "all", progress: Callable[[int], None] | None = None
) -> Examination:
    """Examine a dataset.

    Args:
        datamodule: datamodule with its labels read (``setup("predict")``).
        images: images to read: ``"all"``, ``"sample"`` (a fixed random sample of 2,000), or ``"none"``.
        progress: called with 1 after each image.

    Returns:
        The examination. No files are written.

    Raises:
        ValueError: for an unknown value of ``images``.
    """
    if images not in IMAGES:
        raise ValueError(f"Expected argument `images` to be one of {IMAGES}, but got {images!r}.")
    index, splits = datamodule.index, datamodule.splits
    findings = split_findings(datamodule)
    looked: Scan | None = None
    pairs: Pairs | None = None
    looks: dict[str, Any] = {}
    rows = rows_to_read(len(index), images)
    if len(rows):
        looked = scan(datamodule.make_source(index), rows, progress)
        findings += image_findings(looked, index)
        pairs = find_duplicates(looked)
        findings += duplicate_findings(looked, pairs, datamodule)
        looks = numbers(looked)
    order = {"error": 0, "warning": 1, "info": 2}
    names = ("train", "val", "test")
    counts = {s: np.bincount(splits[s].label, minlength=len(index.class_names)).tolist() for s in names}
    return Examination(
        dataset=datamodule.dataset,
        layout=index.layout,
        root=str(index.root),
        protocol=datamodule.protocol.name,
        class_names=index.class_names,
        counts=counts,
        looks=looks,
        valence_arousal=count_valence_arousal(datamodule),
        findings=tuple(sorted(findings, key=lambda f: order[f.severity])),
        scan=looked,
        pairs=pairs,
    )


def count_valence_arousal(datamodule: FaceDataModule) -> dict[str, dict[str, Any]]:
    """Return the number and range of the known values of valence and arousal in each split."""
    values = datamodule.index.valence_arousal
    found: dict[str, dict[str, Any]] = {}
    for split in ("train", "val", "test") if values is not None else ():
        assert values is not None
        mine = values[datamodule.splits[split].rows]
        found[split] = {"faces": len(mine)}
        for name, column in zip(DIMENSIONS, mine.T, strict=True):
            known = column[~np.isnan(column)]
            ends = [round(float(known.min()), 4), round(float(known.max()), 4)] if len(known) else None
            found[split][name] = {"known": len(known), "range": ends}
    return found


def rows_to_read(count: int, images: str) -> NDArray[np.int64]:
    """Select the rows whose images are read.

    Args:
        count: number of faces.
        images: ``"all"``, ``"sample"`` or ``"none"``.
    """
    if images == "none":
        return np.zeros(0, dtype=np.int64)
    rows = np.arange(count)
    if images == "sample" and count > SAMPLE:
        rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLE, replace=False))
    return rows


def numbers(looked: Scan) -> dict[str, Any]:
    """Return statistics of sizes and colours; means and contrasts are fractions of 255."""
    if not len(looked):
        return {}
    sizes, count = np.unique(looked.size, axis=0, return_counts=True)
    top = np.argsort(-count)[:5]
    return {
        "images": len(looked),
        "sizes": {f"{sizes[i][1]}x{sizes[i][0]}": int(count[i]) for i in top},
        "different_sizes": len(sizes),
        "grey": int(looked.grey.sum()),
        "mean": [round(float(v) / 255, 4) for v in looked.mean.mean(0)],
        "mean_contrast": round(float(looked.std.mean()) / 255, 4),
    }
