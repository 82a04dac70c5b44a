"""Read every image once and record its size, colours and hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.images.sources import FileSource, ImageSource
from mfer_lightning.errors import UserError

#: Side of the thumbnails used to compare near duplicates.
THUMBNAIL = 16

_COLUMNS = np.dtype(
    [
        ("size", np.int64, 2),
        ("mean", np.float32, 3),
        ("std", np.float32),
        ("grey", np.bool_),
        ("exact", np.uint64),
        ("perceptual", np.uint64),
        ("thumbnail", np.uint8, (THUMBNAIL, THUMBNAIL)),
    ]
)


@dataclass(frozen=True)
class Scan:
    """Measurements of M images. Rows that could not be read are only in ``unreadable``.

    Args:
        rows: (M,) rows of the index.
        size: (M,2) height and width in pixels.
        mean: (M,3) means of R, G and B, within [0, 255].
        std: (M,) standard deviation of the greyscale image, on the same scale.
        grey: (M,) whether the three channels are equal.
        exact: (M,) 64-bit hash of the size and the pixels.
        perceptual: (M,) 64-bit perceptual hash.
        thumbnail: (M, THUMBNAIL, THUMBNAIL) uint8 greyscale.
        unreadable: row -> reason.
    """

    rows: NDArray[np.int64]
    size: NDArray[np.int64]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    grey: NDArray[np.bool_]
    exact: NDArray[np.uint64]
    perceptual: NDArray[np.uint64]
    thumbnail: NDArray[np.uint8]
    unreadable: dict[int, str]

    def __len__(self) -> int:
        return len(self.rows)


def scan(source: ImageSource, rows: NDArray[np.int64], progress: Callable[[int], None] | None = None) -> Scan:
    """Read images with the decoder used in training, and measure them.

    Args:
        source: source of the images; files are read at their original size.
        rows: rows to read.
        progress: called with 1 after each image.

    Returns:
        The measurements.
    """
    if isinstance(source, FileSource):
        source = FileSource(source.index, None)
    unreadable: dict[int, str] = {}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # images are already read in parallel

    def read(row: int) -> tuple[Any, ...] | None:
        try:
            return describe(source.read(row))
        except UserError as error:
            unreadable[row] = str(error)
            return None
        finally:
            if progress is not None:
                progress(1)

    try:
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            described = list(pool.map(read, rows.tolist()))
    finally:
        cv2.setNumThreads(threads)
    table = np.array([found for found in described if found is not None], dtype=_COLUMNS)
    return Scan(
        rows=rows[[found is not None for found in described]],
        unreadable=dict(sorted(unreadable.items())),
        **{name: table[name] for name in _COLUMNS.names or ()},
    )


def describe(image: NDArray[np.uint8]) -> tuple[Any, ...]:
    """Measure one (H,W,3) RGB image.

    Returns:
        The columns of :class:`Scan` from ``size`` to ``thumbnail``.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    colourless = bool((image[:, :, 0] == image[:, :, 1]).all() and (image[:, :, 1] == image[:, :, 2]).all())
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    digest = hashlib.blake2b(image.tobytes(), digest_size=8, key=str(image.shape).encode()).digest()
    return (
        image.shape[:2],
        image.mean(axis=(0, 1)),
        float(grey.std()),
        colourless,
        int.from_bytes(digest, "little"),
        perceptual_hash(small),
        cv2.resize(small, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA),
    )


def perceptual_hash(small: NDArray[np.uint8]) -> int:
    """Compute the perceptual hash (pHash) of a 32x32 greyscale image.

    Each bit says whether one of the 8x8 lowest DCT coefficients is above the median of all but the first.

    Returns:
        64 bits as an integer; similar images differ in only a few of them.
    """
    low = cv2.dct(small.astype(np.float32))[:8, :8].ravel()
    bits = low > np.median(low[1:])  # the first coefficient is the brightness
    return int(np.packbits(bits).view(">u8")[0])
