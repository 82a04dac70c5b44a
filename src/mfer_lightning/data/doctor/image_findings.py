"""Findings about images: damage, sizes, colours, duplicates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.doctor.duplicates import Pairs
from mfer_lightning.data.doctor.findings import Finding
from mfer_lightning.data.doctor.scan import Scan
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.plurals import counted

SHOWN = 5
#: Contrast (standard deviation in 0..255) below which an image is considered empty.
FLAT = 3.0
#: Side in pixels below which a face is too small to show an expression.
TINY = 24


def image_findings(looked: Scan, index: FaceIndex) -> list[Finding]:
    """Check images for damage, missing contrast, small sizes, and swapped colour channels.

    Args:
        looked: the scan.
        index: the faces.

    Returns:
        The findings.
    """
    findings = []
    if looked.unreadable:
        rows = np.array(list(looked.unreadable))
        message = f"{counted(len(rows), 'image')} cannot be read; the first: {looked.unreadable[rows[0]]}"
        advice = "Training would stop at these images. Unpack them again, or remove them from the dataset."
        findings.append(Finding("unreadable", "error", message, advice, _names(index, rows)))
    flat = looked.rows[looked.std < FLAT]
    if len(flat):
        message = f"{counted(len(flat), 'image is', 'images are')} black, white or a single colour."
        advice = "Check them; they cannot show a face."
        findings.append(Finding("flat", "warning", message, advice, _names(index, flat)))
    tiny = looked.rows[looked.size.min(axis=1) < TINY] if len(looked) else looked.rows
    if len(tiny):
        message = f"{counted(len(tiny), 'image is', 'images are')} smaller than {TINY} pixels."
        findings.append(Finding("tiny", "warning", message, "", _names(index, tiny)))
    colour = ~looked.grey
    if colour.sum() >= 20:
        # Skin has more red than blue in almost any light. If most images have more blue, the channels were probably
        # written in reverse order.
        bluish = (looked.mean[colour, 2] > looked.mean[colour, 0] + 2).mean()
        if bluish > 0.8:
            message = f"{bluish:.0%} of the colour images are more blue than red: red and blue may be swapped."
            findings.append(Finding("bgr", "warning", message, "Check the contact sheet: skin should not look blue."))
    return findings


def duplicate_findings(looked: Scan, pairs: Pairs, datamodule: FaceDataModule) -> list[Finding]:
    """Check for duplicates across splits (leakage), within splits, and with different labels (label noise).

    Args:
        looked: the scan.
        pairs: its duplicates.
        datamodule: datamodule with splits.

    Returns:
        The findings.
    """
    if not len(pairs):
        return []
    index, splits = datamodule.index, datamodule.splits
    label = splits.labels(len(index))
    where = np.full(len(index), "", dtype="U5")
    for name in ("train", "val", "test"):
        where[splits[name].rows] = name
    a, b = looked.rows[pairs.first], looked.rows[pairs.second]
    used = (where[a] != "") & (where[b] != "")
    findings = []
    across = used & (where[a] != where[b])
    for one, two in (("train", "val"), ("train", "test"), ("val", "test")):
        between = across & np.isin(where[a], (one, two)) & np.isin(where[b], (one, two))
        if between.any():
            measured = np.unique(np.where(where[a] == two, a, b)[between])
            message = (
                f"{one} contains {counted(len(measured), 'face')} of {two} "
                f"({len(measured) / len(splits[two]):.1%}; {_kinds(pairs.exact[between])}): leakage."
            )
            advice = (
                "Results may be optimistic. "
                "shared=<folder> writes lists of these faces for mfer evaluate lists.<name>=<file>."
            )
            examples = _pair_names(index, a[between], b[between])
            findings.append(Finding(f"duplicates-{one}-{two}", "warning", message, advice, examples))
    within = used & (where[a] == where[b])
    if within.any():
        number = counted(int(within.sum()), "pair of duplicates is", "pairs of duplicates are")
        message = f"{number} within one split ({_kinds(pairs.exact[within])})."
        findings.append(Finding("duplicates-within", "info", message, "", _pair_names(index, a[within], b[within])))
    differ = used & (label[a] != label[b])
    if differ.any():
        number = counted(int(used.sum()), "pair of duplicates", "pairs of duplicates")
        have = "has" if differ.sum() == 1 else "have"
        message = f"{int(differ.sum()):,} of {number} {have} different labels."
        examples = _pair_names(index, a[differ], b[differ])
        findings.append(
            Finding("duplicates-labels", "warning", message, "In each pair, at least one label is wrong.", examples)
        )
    return findings


def _kinds(exact: NDArray[np.bool_]) -> str:
    return f"{counted(int(exact.sum()), 'identical pair')}, {counted(int((~exact).sum()), 'near duplicate')}"


def _names(index: FaceIndex, rows: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(index.path[rows[:SHOWN]].tolist())


def _pair_names(index: FaceIndex, a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"{index.path[i]} = {index.path[j]}" for i, j in zip(a[:SHOWN], b[:SHOWN], strict=True))
