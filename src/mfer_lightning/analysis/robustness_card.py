"""Compute the robustness card: the accuracy of a model on the same faces under a series of changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mfer_lightning.analysis.accuracy_intervals import Right, drop, mean_accuracy, point
from mfer_lightning.analysis.consistency import batch_invariance, flip_consistency
from mfer_lightning.analysis.corruptions import Change
from mfer_lightning.analysis.face_lists import list_figures
from mfer_lightning.analysis.forward_passes import Passes
from mfer_lightning.analysis.severities import CORRUPTIONS, MISALIGNMENTS, RESOLUTIONS, SEVERITIES, TABLES, VERSION
from mfer_lightning.data.labels.face_lists import FaceList

#: Name of the change that reduces the resolution, and of its group.
RESOLUTION = "resolution"

#: All changes of the suite, by name.
KINDS = (*CORRUPTIONS, RESOLUTION, *MISALIGNMENTS)


@dataclass(frozen=True)
class Condition:
    """One kind of change at one severity.

    Args:
        kind: name of the change.
        group: noise, blur, light, digital, resolution or crop.
        severity: from 1.
        amount: in the unit of the kind.
        unit: name of the unit.
    """

    kind: str
    group: str
    severity: int
    amount: float
    unit: str

    @property
    def name(self) -> str:
        """Name of the condition, also used as a file name."""
        return f"{self.kind}-{self.severity}"


def conditions(side: int, kinds: Sequence[str] | None = None) -> list[Condition]:
    """List the conditions for faces of a given size, with increasing severity within each kind.

    Args:
        side: side of the stored faces in pixels. Resolutions that are not lower than this are left out.
        kinds: names in :data:`KINDS`; None: all.

    Raises:
        ValueError: for unknown kinds.

    Example:
        >>> [c.amount for c in conditions(48, ["resolution"])]
        [32, 24, 16]
    """
    unknown = [kind for kind in kinds or () if kind not in KINDS]
    if unknown:
        raise ValueError(f"Expected argument `kinds` to contain names of {KINDS}, but got {unknown[0]!r}.")
    found = []
    for kind in KINDS:
        if kinds is not None and kind not in kinds:
            continue
        if kind == RESOLUTION:
            lower = [n for n in RESOLUTIONS if n < side]
            found += [Condition(kind, RESOLUTION, s, n, "pixels per side") for s, n in enumerate(lower, start=1)]
        else:
            table = TABLES[kind]
            found += [Condition(kind, table.group, s, table.amount(s, side), table.unit) for s in SEVERITIES]
    return found


def measure_robustness(
    passes: Passes,
    wanted: Sequence[Condition],
    lists: Sequence[FaceList] = (),
    *,
    seed: int = 0,
    border: str = "black",
    check_batches: bool = True,
) -> dict[str, Any]:
    """Measure a model on unchanged faces and under each condition.

    Args:
        passes: the faces and the model.
        wanted: the conditions to measure, see :func:`conditions`.
        lists: subsets to compare with all other faces.
        seed: seed of the changes' random numbers.
        border: how to fill pixels outside the image after a geometric change: black, edge, mirror.
        check_batches: test whether predictions depend on the rest of the batch.

    Returns:
        Plain numbers, dicts and lists: ``suite_version``, ``n``, ``clean``, ``curves``, ``summary``, ``flip``,
        ``batch``, ``lists``. Accuracies have the same 95% intervals as in ``result.json``, accuracy drops those of
        Agresti and Min, and mean accuracies those of a bootstrap over faces.
    """
    label, groups = passes.subject.label, passes.subject.groups
    clean = passes.logits("clean").argmax(axis=1) == label
    rights: dict[Condition, Right] = {}
    curves: dict[str, Any] = {}
    for condition in wanted:
        change = Change(condition.kind, condition.amount, seed, border)
        right = rights[condition] = passes.logits(condition.name, change).argmax(axis=1) == label
        curve = curves.setdefault(condition.kind, {"group": condition.group, "unit": condition.unit, "points": []})
        lost, low, high = drop(clean, right)
        figures = {**point(right, label, groups), "drop": lost, "drop_low": low, "drop_high": high}
        curve["points"].append({"severity": condition.severity, "amount": condition.amount, **figures})
    return {
        "suite_version": VERSION,
        "n": len(label),
        "clean": point(clean, label, groups),
        "curves": curves,
        "summary": _summary(clean, rights, seed),
        "flip": flip_consistency(passes),
        "batch": batch_invariance(passes, seed) if check_batches else None,
        "lists": list_figures(lists, passes.subject.rows, clean, label, groups),
    }


def _summary(clean: Right, rights: dict[Condition, Right], seed: int) -> dict[str, Any]:
    """Average the accuracies of each part over its conditions. All kinds of a part have equally many severities."""
    parts = {"corruptions": CORRUPTIONS, RESOLUTION: (RESOLUTION,), "misalignments": MISALIGNMENTS}
    found: dict[str, Any] = {}
    for name, kinds in parts.items():
        mine = [right for condition, right in rights.items() if condition.kind in kinds]
        measured = sorted({c.kind for c in rights if c.kind in kinds}, key=kinds.index)
        if mine:
            found[name] = {"kinds": measured, "whole": len(measured) == len(kinds), **mean_accuracy(clean, mine, seed)}
    return found
