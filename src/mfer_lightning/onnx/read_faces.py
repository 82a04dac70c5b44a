"""Read aligned faces from files, Pillow images and arrays, within size limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

#: Maximum side of a face in pixels. Larger images are photographs, for which there is ``mfer predict``.
LARGEST_SIDE = 4096

#: Supported formats. Some of Pillow's other formats run programs (EPS runs Ghostscript).
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")


def as_faces(source: Any) -> Iterator[NDArray[np.uint8]]:
    """Yield the faces of a path, image or array, or of several.

    Args:
        source: a path, a Pillow image, a uint8 array (H,W), (H,W,3), (N,H,W,3) or (N,3,H,W), RGB; or several of them.

    Yields:
        (H,W,3) uint8 RGB.

    Raises:
        UserError: if a file is missing or damaged, or a face is too large or greyscale with more than 8 bits.
        ValueError: for any other source, or an array of the wrong type or shape.

    Example:
        >>> [face.shape for face in as_faces(np.zeros((2, 3, 48, 48), np.uint8))]
        [(48, 48, 3), (48, 48, 3)]
    """
    if isinstance(source, (str, PathLike)):
        yield read_face(Path(source))
    elif isinstance(source, np.ndarray):
        yield from _from_array(source)
    elif hasattr(source, "getexif"):
        yield _from_pillow(source, "the image")
    elif isinstance(source, Iterable):
        for item in source:
            yield from as_faces(item)
    else:
        raise ValueError(
            f"Expected argument `faces` to be paths, Pillow images or uint8 arrays, but got {type(source).__name__}."
        )


def read_face(path: Path) -> NDArray[np.uint8]:
    """Read an aligned face, rotated according to its EXIF orientation; (H,W,3) uint8 RGB.

    Raises:
        UserError: if the file is missing, damaged, too large, or greyscale with more than 8 bits, or if memory is
            lacking.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise UserError("Reading image files needs Pillow: pip install pillow. Arrays do not need it.") from error
    if not path.is_file():
        raise UserError(f"There is no image {path}.")
    try:
        Image.init()
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            return _from_pillow(image, str(path))
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{path} is damaged, or there is not enough memory to decode it.") from error
    except Exception as error:  # damaged files make Pillow raise a dozen different exceptions
        raise UserError(f"{path} cannot be read as an image ({str(error)[:120]}).") from error


def _from_pillow(image: Image.Image, name: str) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    # The size comes from the header; nothing has been decoded yet.
    _check_size(image.height, image.width, name)
    if image.mode.startswith(("I", "F")):
        raise UserError(f"{name} has more than 8 bits per channel. Save it with 8 bits.")
    image.seek(0)
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return np.ascontiguousarray(upright.convert("RGB"))


def _from_array(array: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    if array.dtype != np.uint8:
        raise ValueError(
            f"Expected argument `faces` to be uint8 in 0..255, but got {array.dtype}. The model normalises the faces."
        )
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim == 3:
        array = array[None]
    if array.ndim == 4 and array.shape[3] != 3 and array.shape[1] == 3:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] != 3:
        raise ValueError(
            f"Expected argument `faces` of shape (H,W), (H,W,3), (N,H,W,3) or (N,3,H,W), but got {array.shape}."
        )
    _check_size(array.shape[1], array.shape[2], "an array")
    yield from array


def _check_size(height: int, width: int, name: str) -> None:
    if not 1 <= min(height, width) <= max(height, width) <= LARGEST_SIDE:
        raise UserError(
            f"{name} is {width} x {height} pixels, but an aligned face has sides of 1 to {LARGEST_SIDE}. "
            "To find faces in photographs, use mfer predict."
        )
