"""Sources of the images of an index: image files, or pixel values in a CSV table."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.images.decode import DECODER_VERSION, crop_box, decode, resize
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted


@runtime_checkable
class ImageSource(Protocol):
    """Images by row of an index, read by the cache, or directly if there is no cache."""

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return the image of a row, (H,W,3) uint8 RGB.

        Raises:
            UserError: if it cannot be read.
        """
        ...

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Return a hash that changes if the images of these rows may have changed."""
        ...

    def name(self, row: int) -> str:
        """Return the name of a row, for messages."""
        ...


class FileSource:
    """Image files: decoded, cropped to the face box if the index has boxes, and resized.

    Args:
        index: the faces.
        size: side in pixels to which images are resized; None: original size.

    Raises:
        ValueError: if the size is below 1.
    """

    def __init__(self, index: FaceIndex, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"Expected argument `size` to be a positive number of pixels, but got {size}.")
        self.index = index
        self.size = size

    def name(self, row: int) -> str:
        """Return the path of the file."""
        return str(self.index.root / str(self.index.path[row]))

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return the image of a row, (H,W,3) RGB."""
        image = decode(Path(self.name(row)))
        if self.index.box is not None:
            try:
                image = crop_box(image, self.index.box[row].tolist())
            except ValueError as error:
                raise UserError(f"{self.name(row)}: the face box is outside the image ({error})") from error
        return image if self.size is None else resize(image, self.size)

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Hash the names, sizes and modification times of all files, the boxes, and the content of a sample of files.

        Hashing every byte would take as long as decoding. Sizes and times detect all ordinary changes; the sample
        may detect changes that preserve both.

        Raises:
            UserError: if a file cannot be read.
        """
        digest = hashlib.sha256(f"files {DECODER_VERSION} {self.size}".encode())
        for row in rows.tolist():
            path = self.name(row)
            try:
                stat = Path(path).stat()
            except OSError as error:
                raise UserError(
                    f"{path} cannot be read ({error.strerror}). Unpack the images again, or remove its row from the "
                    "list."
                ) from error
            digest.update(f"{self.index.path[row]}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        if self.index.box is not None:
            digest.update(np.ascontiguousarray(self.index.box[rows], dtype="<i8").tobytes())
        for row in rows[:: max(1, len(rows) // 64)].tolist():
            try:
                digest.update(Path(self.name(row)).read_bytes())
            except OSError as error:
                raise UserError(
                    f"{self.name(row)} cannot be read ({error.strerror}). Check its permissions."
                ) from error
        return digest.hexdigest()


class PixelCsvSource:
    """Square greyscale images in the column ``pixels`` of a csv with the columns emotion, pixels, Usage.

    Args:
        index: the faces.
        path: the csv file, with a header line.
        data_row: (N,) data row of the csv for each face, from 0.
        size: side in pixels to which images are resized; None: original size.
    """

    def __init__(self, index: FaceIndex, path: Path, data_row: NDArray[np.int64], size: int | None = None) -> None:
        self.index = index
        self.path = path
        self.data_row = data_row
        self.size = size
        self._offsets: NDArray[np.int64] | None = None

    def name(self, row: int) -> str:
        """Return the file and the line number."""
        return f"{self.path}, line {int(self.data_row[row]) + 2}"

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Hash the whole file and the selected rows."""
        digest = hashlib.sha256(f"pixels {DECODER_VERSION} {self.size}".encode())
        digest.update(np.ascontiguousarray(self.data_row[rows], dtype="<i8").tobytes())
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return the image of a row, (H,W,3) RGB with three equal channels.

        Raises:
            UserError: if the pixels are not a square of numbers from 0 to 255.
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
                f"{self.name(row)}: expected a square of pixels from 0 to 255, but got "
                f"{counted(len(values), 'number')}. Download the file again."
            )
        grey = values.astype(np.uint8).reshape(side, side, 1)
        image = np.repeat(grey, 3, axis=2)
        return image if self.size is None else resize(image, self.size)

    def _starts(self) -> NDArray[np.int64]:
        """Return the position of each data row in the file, in bytes."""
        if self._offsets is None:
            with self.path.open("rb") as file:
                lengths = [len(line) for line in file]
            self._offsets = np.cumsum(lengths, dtype=np.int64)
        return self._offsets
