"""Find duplicate images: identical images and near duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.doctor.scan import Scan

#: Maximum number of bits of the perceptual hash in which near duplicates may differ.
MOST_BITS = 4
#: Widths of the bands of the hash in bits. There are more bands than differing bits, so at least one band is equal.
BANDS = (13, 13, 13, 13, 12)
#: Minimum correlation between thumbnails of near duplicates. Hashes alone are not enough, because aligned faces share
#: their coarse layout.
LEAST_CORRELATION = 0.98
#: Maximum size of a group of images with equal keys. Larger groups, usually uniform images, are not compared.
LARGEST_BUCKET = 2000


@dataclass(frozen=True)
class Pairs:
    """Pairs of positions in a scan, the first smaller than the second.

    Args:
        first: (P,) positions.
        second: (P,) positions.
        exact: (P,) whether the pixels are equal.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    exact: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)


def find_duplicates(scan: Scan) -> Pairs:
    """Find pairs of identical images and of near duplicates.

    Identical images have the same hash of their pixels. Near duplicates differ in at most :data:`MOST_BITS` bits of the
    perceptual hash, and their thumbnails have a correlation of at least :data:`LEAST_CORRELATION`. Only images that
    share a band of the hash are compared, so the run time is far below quadratic.

    Args:
        scan: scan of the images.

    Returns:
        The pairs, each once.
    """
    flat = scan.std < 1.0  # a black image matches every other black image
    candidates = [_pairs_in_groups(scan.exact)]
    shift = 0
    for width in BANDS:
        band = (scan.perceptual >> np.uint64(shift)) & np.uint64(2**width - 1)
        shift += width
        found = _pairs_in_groups(np.where(flat, np.uint64(2**width) + np.arange(len(scan), dtype=np.uint64), band))
        differ = scan.perceptual[found[:, 0]] ^ scan.perceptual[found[:, 1]]
        bits = np.unpackbits(differ[:, None].view(np.uint8), axis=1).sum(axis=1)  # NumPy 1 has no bitwise_count
        candidates.append(found[bits <= MOST_BITS])
    pairs = np.unique(np.concatenate(candidates), axis=0)
    exact = scan.exact[pairs[:, 0]] == scan.exact[pairs[:, 1]]
    alike = exact | (_correlation(scan, pairs) >= LEAST_CORRELATION)
    pairs, exact = pairs[alike], exact[alike]
    return Pairs(pairs[:, 0], pairs[:, 1], exact)


def _pairs_in_groups(key: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return all pairs (P,2) of positions with equal keys, except in groups of more than :data:`LARGEST_BUCKET`."""
    order = np.argsort(key, kind="stable")
    _, start, count = np.unique(key[order], return_index=True, return_counts=True)
    parts = [np.zeros((0, 2), dtype=np.int64)]
    for begin, size in zip(start[count > 1].tolist(), count[count > 1].tolist(), strict=True):
        if size <= LARGEST_BUCKET:
            members = np.sort(order[begin : begin + size])
            i, j = np.triu_indices(size, k=1)
            parts.append(np.stack([members[i], members[j]], axis=1))
    return np.concatenate(parts)


def _correlation(scan: Scan, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty(len(pairs))
    for begin in range(0, len(pairs), 50_000):
        part = pairs[begin : begin + 50_000]
        a, b = (scan.thumbnail[part[:, side]].reshape(len(part), -1).astype(np.float64) for side in (0, 1))
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        norm = np.sqrt((a**2).sum(1) * (b**2).sum(1))
        found[begin : begin + len(part)] = (a * b).sum(1) / np.maximum(norm, 1e-9)
    return found
