"""Give the interval of a method's figure, and say what it covers: other faces, or other seeds as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mfer_lightning.evaluation.intervals import result_interval
from mfer_lightning.evaluation.statistics.methods import MIN_SEEDS
from mfer_lightning.evaluation.statistics.seeds import interval_over_seeds_and_faces
from mfer_lightning.reporting.study.sections import Method

#: What an interval counts.
Covers = Literal["faces", "folds", "seeds and faces", "seeds and folds"]


@dataclass(frozen=True)
class MethodInterval:
    """The 95% interval of a method's mean over seeds.

    Args:
        low: lower end, a share.
        high: upper end.
        covers: with fewer than three seeds, nothing is known of their spread, and it is over faces alone, or over
            folds where those of a cross-validation are joined.
    """

    low: float
    high: float
    covers: Covers


def method_interval(method: Method, metric: str) -> MethodInterval | None:
    """Give the interval of a figure's mean over seeds; None if its results have none over faces.

    Args:
        method: runs of one configuration.
        metric: name of a share, e.g. ``"accuracy"``.
    """
    values, faces = [], []
    folds = any("joined" in (run.result.get("folds") or {}) for run in method.runs)
    for run in method.runs:
        value, ends = run.metric(metric), result_interval(run.result, metric)
        if value is not None and ends is not None:
            values.append(value)
            faces.append(ends)
    if not values or len(values) < len(method.figures(metric)):
        return None
    if len(values) < MIN_SEEDS:
        mean = [sum(ends) / len(faces) for ends in zip(*faces, strict=True)]
        return MethodInterval(mean[0], mean[1], "folds" if folds else "faces")
    low, high = interval_over_seeds_and_faces(values, faces)
    return MethodInterval(low, high, "seeds and folds" if folds else "seeds and faces")
