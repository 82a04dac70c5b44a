"""Embed features in 2-D by t-SNE or PCA: after a run or evaluation, and in reports for runs without an embedding."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METHODS = ("tsne", "pca")
#: Number of dimensions to which PCA reduces the features before t-SNE. More dimensions cost time and are mostly noise.
_PCA_DIMENSIONS = 30


@dataclass(frozen=True, eq=False)
class Plane:
    """2-D embedding of faces.

    Args:
        points: (M,2) coordinates.
        rows: (M,) rows of the faces in a table of features.
    """

    points: NDArray[np.floating]
    rows: NDArray[np.int64]


def stratified_subset(label: NDArray[np.integer], limit: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose at most ``limit`` rows, stratified by class, with at least one per class.

    Args:
        label: (N,) class of each row.
        limit: maximum number of rows, at least the number of classes that occur.
        seed: seed of the choice.

    Returns:
        Row numbers, ascending.

    Raises:
        ValueError: if ``limit`` is below the number of classes.

    Example:
        >>> rows = stratified_subset(np.array([0] * 90 + [1] * 10), limit=10)
        >>> np.bincount(np.array([0] * 90 + [1] * 10)[rows]).tolist()
        [9, 1]
    """
    n = len(label)
    if n <= limit:
        return np.arange(n)
    classes, place, count = np.unique(label, return_inverse=True, return_counts=True)
    if limit < len(classes):
        raise ValueError(f"Expected argument `limit` to be at least {len(classes)}, one per class, but got {limit}.")
    share = count * (limit / n)
    quota = np.maximum(np.floor(share).astype(np.int64), 1)
    # rows left over by rounding go to the largest remainders; excess rows (from classes raised to one) are taken
    # from the largest classes
    for k in np.argsort(quota - share, kind="stable")[: max(limit - int(quota.sum()), 0)]:
        quota[k] += 1
    while quota.sum() > limit:
        quota[quota.argmax()] -= 1
    generator = np.random.default_rng(seed)
    chosen = [generator.choice(np.flatnonzero(place == k), quota[k], replace=False) for k in range(len(classes))]
    return np.sort(np.concatenate(chosen))


def embed(features: NDArray[np.floating], method: str = "tsne", seed: int = 0) -> NDArray[np.float64]:
    """Embed features in 2-D.

    Args:
        features: (N,D), finite, N at least 1.
        method: ``tsne`` (shows neighbourhoods; distances between clusters are not meaningful) or ``pca`` (linear, so
            distances are meaningful). Fewer than 4 rows always use PCA.
        seed: seed of t-SNE and of the randomised PCA before it. Its influence is small: t-SNE starts from the PCA.

    Returns:
        (N,2) coordinates.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if method not in METHODS:
        raise ValueError(f"Expected argument `method` to be one of {METHODS}, but got {method!r}.")
    f = np.asarray(features, dtype=np.float64)
    if f.ndim != 2 or len(f) < 1:
        raise ValueError(f"Expected argument `features` to be of shape (N,D) with N at least 1, but got {f.shape}.")
    if f.shape[1] == 1:
        f = np.hstack([f, np.zeros_like(f)])
    if not np.ptp(f, axis=0).any():
        return np.zeros((len(f), 2))  # a collapsed feature space is one point and has no principal axes
    if len(f) < 4:
        method = "pca"  # too few for neighbourhoods
    dimensions = 2 if method == "pca" else min(_PCA_DIMENSIONS, *f.shape)
    with threadpool_limits(1):  # for a few hundred points, threads spend more time waiting than computing
        reduced: NDArray[np.float64] = PCA(dimensions, random_state=seed).fit_transform(f)
        if method == "tsne":
            perplexity = min(30.0, (len(f) - 1) / 3)
            reduced = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return np.asarray(reduced, dtype=np.float64)


def plane_of(features: NDArray[np.floating], label: NDArray[np.integer], points: int, seed: int = 0) -> Plane | None:
    """Embed a subset of the faces by t-SNE, once per run or evaluation, for all figures.

    Args:
        features: (N,D), finite.
        label: (N,) class of each face; those below 0 are left out.
        points: maximum number of faces, stratified by class.
        seed: seed of the choice of faces and of the embedding.

    Returns:
        The points; None if ``points`` is below the number of classes, or no face has a label.
    """
    known = np.flatnonzero(label >= 0)
    if points < len(np.unique(label[known])) or not len(known):
        return None
    rows = known[stratified_subset(label[known], points, seed)]
    return Plane(embed(features[rows], "tsne", seed), rows)


def embed_all(
    features: Sequence[NDArray[np.floating]], method: str = "tsne"
) -> Callable[[], list[NDArray[np.float64]]]:
    """Start to embed several sets of features separately, in several processes if that is worthwhile.

    Args:
        features: arrays (N,D).
        method: ``tsne`` or ``pca``.

    Returns:
        A function that waits for the coordinates and returns them: arrays (N,2) as from :func:`embed`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, 8, len(features) // 2)  # starting a process takes as long as one embedding of 500 faces
    if method != "tsne" or cores < 2 or workers < 1:
        return lambda: [embed(f, method) for f in features]
    shares = [range(first, len(features), workers) for first in range(workers)]
    pool = ThreadPoolExecutor(workers)
    begun = [pool.submit(_elsewhere, [features[i] for i in share]) for share in shares]
    pool.shutdown(wait=False)

    def wait() -> list[NDArray[np.float64]]:
        found: dict[int, NDArray[np.float64]] = {}
        for share, planes in zip(shares, begun, strict=True):
            found |= dict(zip(share, planes.result(), strict=True))
        return [found[i] for i in range(len(features))]

    return wait


def _elsewhere(features: Sequence[NDArray[np.floating]]) -> list[NDArray[np.float64]]:
    """Embed sets of features in a separate process.

    It is started as a program, because multiprocessing would import the caller's main module again, which would run a
    script without ``if __name__ == "__main__"``.
    """
    given = io.BytesIO()
    np.savez(given, *features)
    program = [sys.executable, "-c", "from mfer_lightning.figures.plane import serve; serve()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(program, input=given.getvalue(), capture_output=True, env=environment, check=False)  # noqa: S603
    if done.returncode:
        return [embed(f) for f in features]
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as planes:
        return [planes[name] for name in planes.files]


def serve() -> None:
    """Read features from standard input and write their t-SNE to standard output, both as ``.npz``."""
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as features:
        planes = [embed(features[name]) for name in features.files]
    written = io.BytesIO()
    np.savez(written, *planes)
    sys.stdout.buffer.write(written.getvalue())
