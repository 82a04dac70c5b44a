"""Compute confidence intervals for proportions and for means of proportions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute Wilson's score interval for a proportion, without continuity correction.

    Unlike the usual p +- z s, it keeps its coverage for proportions near 0 and 1 and for small classes (Wilson 1927;
    Brown, Cai and DasGupta 2001).

    Args:
        successes: number of successes, 0 to n.
        n: number of trials, at least 1.
        confidence: nominal coverage, between 0 and 1.

    Returns:
        Lower and upper bound, within [0, 1].

    Raises:
        ValueError: if an argument lies outside its range.

    Example:
        >>> low, high = wilson(90, 100)
        >>> print(f"{low:.4f} to {high:.4f}")
        0.8256 to 0.9448
    """
    if n < 1:
        raise ValueError(f"Expected argument `n` to be at least 1, but got {n}.")
    if not 0 <= successes <= n:
        raise ValueError(f"Expected argument `successes` within [0, {n}], but got {successes}.")
    if not 0 < confidence < 1:
        raise ValueError(f"Expected argument `confidence` between 0 and 1, but got {confidence}.")
    from scipy.stats import binomtest  # takes most of a second, which showing stored intervals does not need

    interval = binomtest(int(successes), int(n)).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def wilson_of_repeated(successes: ArrayLike, n: ArrayLike, times: int = 1) -> NDArray[np.float64]:
    """Compute Wilson's intervals of proportions over samples that contain each face several times, once per seed.

    Networks of several seeds make errors on similar faces, so their predictions are not independent. The interval is
    therefore that of the same proportion over distinct faces.

    Args:
        successes: (M,) numbers of successes.
        n: (M,) numbers of samples, at least 1 each.
        times: number of times each face is in the samples.

    Returns:
        (M,2) lower and upper bounds.

    Example:
        >>> once, joined = wilson_of_repeated(np.array([9]), np.array([10])), wilson_of_repeated([63], [70], 7)
        >>> bool(np.allclose(once, joined))
        True
    """
    faces = np.maximum(np.round(np.asarray(n) / times), 1).astype(int)
    hits = np.minimum(np.round(np.asarray(successes) / np.asarray(n) * faces), faces).astype(int)
    return np.array([wilson(int(k), int(m)) for k, m in zip(hits, faces, strict=True)])


def mean_of_wilson(successes: Sequence[int], n: Sequence[int], confidence: float = 0.95) -> tuple[float, float]:
    r"""Compute the interval of an unweighted mean of independent proportions from their Wilson intervals.

    .. math:: \bar p - \frac1K\sqrt{\sum_k (p_k - l_k)^2}, \qquad \bar p + \frac1K\sqrt{\sum_k (u_k - p_k)^2}

    (Zou and Donner, Construction of confidence limits about effect measures, Statistics in Medicine 2008). For
    mean-class accuracy, it keeps its coverage for small classes. Unlike the bootstrap, it does not shrink to a point if
    every face of a class is correct.

    Args:
        successes: number of correct predictions per class.
        n: number of faces per class, at least 1.
        confidence: nominal coverage, between 0 and 1.

    Returns:
        Lower and upper bound, within [0, 1].

    Raises:
        ValueError: if an argument lies outside its range.

    Example:
        >>> low, high = mean_of_wilson([90, 10], [100, 10])
        >>> print(f"{low:.4f} to {high:.4f}")
        0.8063 to 0.9724
    """
    if len(successes) != len(n) or not len(n):
        raise ValueError(
            f"Expected arguments `successes` and `n` to be of the same length, at least 1, but got "
            f"{len(successes)} and {len(n)}."
        )
    share = np.array([hits / max(faces, 1) for hits, faces in zip(successes, n, strict=True)])
    low, high = np.array([wilson(hits, faces, confidence) for hits, faces in zip(successes, n, strict=True)]).T
    mean = float(share.mean())
    below = float(np.sqrt(((share - low) ** 2).sum()) / len(share))
    above = float(np.sqrt(((high - share) ** 2).sum()) / len(share))
    return max(0.0, mean - below), min(1.0, mean + above)


def result_interval(result: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """Return the 95% interval over faces of a metric of a result, as shown in all tables and reports.

    Args:
        result: content of ``result.json``, or its main entries.
        metric: name of the metric.

    Returns:
        The interval stored in the result. If several faces come from one photo or person, it is based on resampling
        photos or persons. If it is missing or has zero width (as written by earlier versions), the Wilson interval for
        accuracy and mean-class accuracy, which follows from the counts; None for other metrics.
    """
    stored = (result.get("intervals") or {}).get(metric)
    if isinstance(stored, Mapping):
        stored = (stored.get("low"), stored.get("high"))
    if isinstance(stored, (list, tuple)) and len(stored) == 2 and all(isinstance(v, (int, float)) for v in stored):
        low, high = map(float, stored)
        if low < high:
            return low, high
    value, n = result["metrics"].get(metric), result["n"]
    if metric == "accuracy" and value is not None and n > 0:
        return wilson(round(value * n), n)
    if metric == "mean_class_accuracy" and value is not None and "confusion" in result:
        confusion = np.asarray(result["confusion"], dtype=np.int64)
        faces = confusion.sum(axis=1)
        return mean_of_wilson(np.diag(confusion)[faces > 0].tolist(), faces[faces > 0].tolist())
    return None


def is_wilson(result: Mapping[str, Any]) -> bool:
    """Whether the interval of a result's accuracy is Wilson's, not a bootstrap over photos or persons."""
    n = int(result["n"])
    ends = result_interval(result, "accuracy")
    return ends is not None and np.allclose(
        ends, wilson(round(result["metrics"]["accuracy"] * n), n), rtol=0, atol=1e-9
    )
