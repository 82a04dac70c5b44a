"""Compute the interval of a method's result over faces or folds, and if possible also over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mfer_lightning.evaluation.intervals import result_interval
from mfer_lightning.evaluation.statistics.methods import MIN_SEEDS
from mfer_lightning.evaluation.statistics.seeds import interval_over_seeds_and_faces
from mfer_lightning.reporting.study.sections import Method

#: Sources of variation in an interval.
Covers = Literal["faces", "folds", "seeds and faces", "seeds and folds"]


@dataclass(frozen=True)
class MethodInterval:
    """The 95% interval of a method's mean over seeds.

    Args:
        low: lower limit, a proportion.
        high: upper limit.
        covers: sources of variation in the interval. With fewer than three seeds, their spread is unknown, and
            the interval is only over faces, or over the folds of a joined cross-validation.
    """

    low: float
    high: float
    covers: Covers


def method_interval(method: Method, metric: str) -> MethodInterval | None:
    """Return the interval of the mean of a metric over seeds; None if the result of a seed has no interval.

    Args:
        method: runs of one configuration.
        metric: name of a proportion, e.g. ``"accuracy"``.
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
