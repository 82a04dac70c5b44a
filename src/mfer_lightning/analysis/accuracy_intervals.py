"""Compute accuracies, accuracy drops and mean accuracies, with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.share_interval import share_interval

Right = NDArray[np.bool_]

#: Number of bootstrap samples.
RESAMPLES = 2000


def point(right: Right, label: NDArray[np.int64], groups: NDArray[np.integer] | None = None) -> dict[str, Any]:
    """Compute accuracy with its 95% interval, and mean-class accuracy over the classes that are present.

    Args:
        right: (N,) whether each face was predicted correctly; at least one face.
        label: (N,) class of each face.
        groups: (N,) photo or person of each face, see
            :func:`mfer_lightning.evaluation.share_interval.share_interval`.

    Returns:
        ``n``, ``accuracy``, its limits ``low`` and ``high``, and ``mean_class_accuracy``; fractions within [0, 1].
    """
    low, high = share_interval(right, label, groups)
    recalls = [float(right[label == k].mean()) for k in np.unique(label)]
    return {
        "n": len(right),
        "accuracy": float(right.mean()),
        "low": low,
        "high": high,
        "mean_class_accuracy": float(np.mean(recalls)),
    }


def drop(before: Right, after: Right, confidence: float = 0.95) -> tuple[float, float, float]:
    """Compute the drop in accuracy on the same faces, with its interval.

    The interval is that of Agresti and Min (2005) for paired proportions: a Wald interval with half a face added to
    each of the four cells.

    Args:
        before: (N,) whether each face was predicted correctly before.
        after: (N,) the same after the change.
        confidence: nominal coverage, between 0 and 1.

    Returns:
        The drop (negative for a gain), and the limits of its interval.

    Example:
        >>> before, after = np.array([True] * 90 + [False] * 10), np.array([True] * 80 + [False] * 20)
        >>> [round(x, 3) for x in drop(before, after)]
        [0.1, 0.037, 0.159]
    """
    n = len(before)
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    b, c, total = lost + 0.5, won + 0.5, n + 2.0
    middle = (b - c) / total
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    half = z * float(np.sqrt(max(b + c - (b - c) ** 2 / total, 0.0))) / total
    return (lost - won) / n, middle - half, middle + half


def mean_accuracy(clean: Right, changed: Sequence[Right], seed: int = 0) -> dict[str, Any]:
    """Compute the mean accuracy over changes, and its ratio to the clean accuracy.

    Intervals are percentiles of a bootstrap over faces; each resampled face contributes its predictions under all
    changes.

    Args:
        clean: (N,) whether each unchanged face was predicted correctly.
        changed: one (N,) array per change, at least one.
        seed: seed of the bootstrap.

    Returns:
        ``accuracy`` and ``relative`` (None if the clean accuracy is 0), each as ``value``, ``low``, ``high``.
    """
    per_face = np.mean(np.stack(changed), axis=0)
    pair = np.stack([per_face, clean.astype(np.float64)], axis=1)
    n = len(clean)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    drawn = weights @ pair / n
    value, base = pair.mean(axis=0).tolist()
    result: dict[str, Any] = {"accuracy": _with_ends(value, drawn[:, 0]), "relative": None}
    if base > 0:
        possible = drawn[drawn[:, 1] > 0]
        result["relative"] = _with_ends(value / base, possible[:, 0] / possible[:, 1])
    return result


def _with_ends(value: float, drawn: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    return {"value": value, "low": low, "high": high}
