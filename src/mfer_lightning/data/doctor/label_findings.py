"""Findings about counts, classes and splits, from the label files only."""

from __future__ import annotations

import numpy as np

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.doctor.class_order import suspect_order
from mfer_lightning.data.doctor.findings import Finding, Severity
from mfer_lightning.data.splits import TEST_IS_MISSING, apply_rule
from mfer_lightning.plurals import counted

#: A balanced sampler is suggested if the ratio of the largest to the smallest class is at least this.
IMBALANCE = 10.0


def split_findings(datamodule: FaceDataModule) -> list[Finding]:
    """Check splits, classes, counts and groups.

    Args:
        datamodule: datamodule with its labels read.

    Returns:
        The findings.
    """
    index, splits, protocol = datamodule.index, datamodule.splits, datamodule.protocol
    findings: list[Finding] = []

    def add(code: str, severity: Severity, message: str, advice: str = "") -> None:
        findings.append(Finding(code, severity, message, advice))

    if not len(splits.train):
        add("no-train", "error", "There are no training faces.", "Unpack the training images next to the others.")
    if protocol.val is not None and not len(splits.val):
        add("no-val", "error", f"{protocol.name} selects on val, but there are no val faces.", "Add val faces.")
    if not len(splits.test):
        add(
            "no-test",
            "warning",
            f"The test files are missing ({protocol.describe('test')}): training works, but the results are on val, "
            "which is used for selection.",
            "Add the test files to report test results.",
        )
    for note in _other_notes(datamodule):
        add("note", "warning", f"{note[0].upper()}{note[1:]}.")
    findings += _classes(datamodule)
    findings += _orders(datamodule)
    if index.group is not None:
        for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
            shared = np.intersect1d(index.group[splits[a].rows], index.group[splits[b].rows])
            if len(shared) and not (a == "val" and protocol.val == protocol.test):
                words = counted(len(shared), "photo or person is", "photos or people are")
                add("shared-groups", "warning", f"{words} in both {a} and {b}.")
    return findings


def _other_notes(datamodule: FaceDataModule) -> list[str]:
    """Return the datamodule's notes, except those covered by findings."""
    return [n for n in datamodule.notes if n and "no training image of" not in n and n != TEST_IS_MISSING]


def _classes(datamodule: FaceDataModule) -> list[Finding]:
    findings = []
    names = datamodule.index.class_names
    for split in ("train", "val", "test"):
        counts = np.bincount(datamodule.splits[split].label, minlength=len(names))
        empty = [names[k] for k in np.flatnonzero(counts == 0)] if counts.sum() else []
        if empty:
            message = f"{split} has no faces of {', '.join(empty)}."
            advice = "Such a class cannot be learned." if split == "train" else "Such a class cannot be evaluated."
            findings.append(Finding(f"empty-class-{split}", "warning", message, advice))
        elif split == "train" and counts.sum() and counts.max() >= IMBALANCE * counts.min():
            most, least = int(counts.argmax()), int(counts.argmin())
            message = (
                f"The largest and the smallest training class have a ratio of {counts[most] / counts[least]:.0f}:1 "
                f"({names[most]} {counts[most]:,}, {names[least]} {counts[least]:,})."
            )
            advice = "Consider sampler=balanced or sampler=sqrt, and use mean-class accuracy."
            findings.append(Finding("imbalance", "info", message, advice))
    return findings


def _orders(datamodule: FaceDataModule) -> list[Finding]:
    index, names, findings = datamodule.index, datamodule.index.class_names, []
    for expected in datamodule.protocol.expected:
        here = index.partition == expected.partition
        if isinstance(expected.count, int) or not index.layout.startswith(expected.layout) or not here.any():
            continue
        result = apply_rule(index, expected.rule)
        counts = np.bincount(result.label[here & result.keep], minlength=len(names))
        order = suspect_order(counts.tolist(), expected.count)
        if order is not None:
            words = ", ".join(f"{names[k]} has the expected count of {names[j]}" for k, j in enumerate(order) if k != j)
            message = f"The classes of {expected.partition} seem to be numbered in a different order: {words}."
            findings.append(Finding("class-order", "warning", message, "Check the contact sheet."))
    return findings
