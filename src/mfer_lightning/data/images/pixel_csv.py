"""Images that are written as numbers in a csv file, as FER2013 was published; and whether images have colour."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.images.decode import DECODER_VERSION, resize
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.errors import UserError


def has_no_colour(images: NDArray[np.uint8]) -> bool:
    """Whether (N,H,W,3) images are grey, give or take what a JPEG file makes of equal channels.

    Example:
        >>> has_no_colour(np.full((2, 4, 4, 3), 90, dtype=np.uint8))
        True
    """
    spread = images.max(axis=3).astype(np.int16) - images.min(axis=3)
    return len(images) > 0 and bool(spread.max() <= 4)


class PixelCsvSource:
    """Square grey images in the ``pixels`` column of a csv with the columns emotion, pixels, Usage.

    Args:
        index: the faces.
        path: the csv file, with a header line.
        data_row: (N,) which data row of the csv each face is (the first is 0).
        size: side of the stored square; None: as they are.
    """

    def __init__(self, index: FaceIndex, path: Path, data_row: NDArray[np.int64], size: int | None = None) -> None:
        self.index = index
        self.path = path
        self.data_row = data_row
        self.size = size
        self._offsets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def name(self, row: int) -> str:
        """Return file and line."""
        return f"{self.path}, line {int(self.data_row[row]) + 2}"

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Hash the whole file, and which rows of it are meant."""
        digest = hashlib.sha256(f"pixels {DECODER_VERSION} {self.size}".encode())
        digest.update(np.ascontiguousarray(self.data_row[rows], dtype="<i8").tobytes())
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return the image of a row, (H,W,3) RGB with three equal channels.

        Raises:
            UserError: where the pixels are no square of numbers from 0 to 255.
        """
        with self.path.open("rb") as file:
            file.seek(int(self._starts()[self.data_row[row]]))
            text = file.readline().split(b",")[1].strip(b' "\r\n')
        try:
            values = np.array(text.split(), dtype=np.int64)
        except ValueError:
            values = np.zeros(0, dtype=np.int64)
        side = round(len(values) ** 0.5)
        if side == 0 or side * side != len(values) or values.min() < 0 or values.max() > 255:
            raise UserError(
                f"{self.name(row)}: expected a square of pixels from 0 to 255, but got {len(values)} numbers. "
                "Fetch the file anew."
            )
        grey = values.astype(np.uint8).reshape(side, side, 1)
        image = np.repeat(grey, 3, axis=2)
        return image if self.size is None else resize(image, self.size)

    def _starts(self) -> NDArray[np.int64]:
        """Where each data row begins in the file."""
        if self._offsets is None:
            with self.path.open("rb") as file:
                lengths = [len(line) for line in file]
            self._offsets = np.cumsum(lengths, dtype=np.int64)
        return self._offsets
