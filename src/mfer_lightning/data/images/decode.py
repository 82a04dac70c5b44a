"""Where images come from: any file, decoded to the RGB picture a person would see, as uint8.

"Rightly" is not what a decoder gives by itself: cv2 gives BGR and ignores palettes, PIL leaves the camera's rotation in
a tag and cuts 16-bit pictures off at white. Everything here ends as upright 8-bit RGB.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mfer_lightning.data.index import FaceIndex
from mfer_lightning.errors import UserError

#: Counts changes of decoding or resizing, so that caches made by an older way are made anew.
DECODER_VERSION = 2


@runtime_checkable
class ImageSource(Protocol):
    """Images by row of an index: what the cache packs and the dataset may read directly."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return the image of a row, (H,W,3) RGB.

        Raises:
            UserError: where it cannot be read, naming the file.
        """
        ...

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Return a hash that changes whenever the images of these rows may have changed."""
        ...

    def name(self, row: int) -> str:
        """Return what to call a row in messages."""
        ...


def decode(path: Path) -> NDArray[np.uint8]:
    """Decode an image file of any common format and mode.

    Palettes, CMYK, grey, 1-bit and 16-bit pictures become RGB; transparency is put on white; the camera's rotation tag
    is obeyed; of an animation the first picture is taken.

    Args:
        path: the file.

    Returns:
        (H,W,3) uint8 RGB.

    Raises:
        UserError: where the file is missing, empty, cut off or no image, naming it.
    """
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes): the copy is broken. Unpack or download this file anew.")
        with Image.open(path) as image:
            return to_rgb(image)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. Unpack the images anew, or remove its row from the list.") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is no image that can be read. Unpack or download this file anew.") from error
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} is damaged or cut off ({error}). Unpack or download this file anew, or remove its row."
        ) from error


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Turn a picture that PIL has opened into upright (H,W,3) uint8 RGB; of an animation the first one.

    Raises:
        Exception: one of :data:`DAMAGE` where its data are broken.
    """
    image.seek(0)
    return _to_rgb(_upright(image))


#: What PIL raises for damage: OSError for cut-off files, SyntaxError, ValueError and the rest for broken headers.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    IndexError,
    TypeError,
    KeyError,
    OverflowError,
)

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image) -> Image.Image:
    """Turn a photo as its EXIF tag says; PIL's own function writes the other tags anew and fails on odd ones."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # tags that cannot be read say nothing about the pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        # 16 and 32 bit grey: PIL's own conversion cuts off at 255. The file's depth is not kept in mode I, so what does
        # not fit in 8 bits is taken for 16.
        values = np.asarray(image).astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("its pixels are not all numbers")
        if image.mode == "F" and values.max(initial=0.0) <= 1.0:
            values = values * 255.0
        elif values.max(initial=0.0) > 255 or image.mode.startswith("I;16"):
            values = values / 257.0
        grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.ascontiguousarray(image.convert("RGB"))


def crop_box(image: NDArray[np.uint8], box: Sequence[int]) -> NDArray[np.uint8]:
    """Crop a face box, as far as it lies within the picture.

    Args:
        image: (H,W,3).
        box: x, y, width, height in pixels.

    Returns:
        The crop.

    Raises:
        ValueError: where the box lies outside, or is empty.

    Example:
        >>> crop_box(np.zeros((10, 10, 3), dtype=np.uint8), (-2, 4, 8, 8)).shape
        (6, 6, 3)
    """
    x, y, width, height = (int(v) for v in box)
    crop = image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    if crop.size == 0:
        raise ValueError(
            f"Expected argument `box` to overlap an image of {image.shape[1]} x {image.shape[0]} pixels, but got "
            f"x={x}, y={y}, width={width}, height={height}."
        )
    return crop


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize to ``size`` x ``size``: averaging where it shrinks, bicubic where it grows."""
    if image.shape[0] == size and image.shape[1] == size:
        return image
    shrinks = image.shape[0] >= size and image.shape[1] >= size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), dtype=np.uint8)


class FileSource:
    """Images in files: decoded, cropped to the face box where the index has one, resized.

    Args:
        index: the faces.
        size: side of the stored square; None: as they are (then all must have one size).
    """

    def __init__(self, index: FaceIndex, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"Expected argument `size` to be a positive number of pixels, but got {size}.")
        self.index = index
        self.size = size

    def __len__(self) -> int:
        return len(self.index)

    def name(self, row: int) -> str:
        """Return the file's path."""
        return str(self.index.root / str(self.index.path[row]))

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return the image of a row, (H,W,3) RGB."""
        image = decode(Path(self.name(row)))
        if self.index.box is not None:
            try:
                image = crop_box(image, self.index.box[row].tolist())
            except ValueError as error:
                raise UserError(f"{self.name(row)}: the face box lies outside of the picture ({error})") from error
        return image if self.size is None else resize(image, self.size)

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Hash names, sizes and times of all files, boxes, preprocessing, and the content of a sample of the files.

        Hashing every byte would cost as much as decoding. Size and time betray every ordinary change; the sample
        betrays copies whose times were set back.
        """
        digest = hashlib.sha256(f"files {DECODER_VERSION} {self.size}".encode())
        for row in rows.tolist():
            path = self.name(row)
            try:
                stat = Path(path).stat()
            except OSError as error:
                raise UserError(
                    f"{path} cannot be read ({error.strerror}). Unpack the images anew, or remove its row."
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
