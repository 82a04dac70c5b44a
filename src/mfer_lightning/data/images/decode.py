"""Decode any image file to upright 8-bit RGB.

Decoders do not do this by default: cv2 returns BGR and drops transparency; PIL does not apply the EXIF orientation, and
clips 16-bit images.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mfer_lightning.data.images.heif import prepare_for
from mfer_lightning.errors import UserError

#: Version of decoding and resizing, part of the cache fingerprint, so that older caches are rebuilt.
DECODER_VERSION = 2


def decode(path: Path) -> NDArray[np.uint8]:
    """Decode an image file of any common format and mode.

    Palette, CMYK, greyscale, 1-bit and 16-bit images are converted to RGB, transparent pixels are blended with white,
    the EXIF orientation is applied, and the first frame of an animation is used.

    Args:
        path: the file.

    Returns:
        (H,W,3) uint8 RGB.

    Raises:
        UserError: if the file is missing, empty, truncated, not an image or far too large, if memory is lacking, or
            pillow-heif is missing.
    """
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes). Unpack or download this file again.")
        with path.open("rb") as file:
            prepare_for(file)
            with Image.open(file) as image:
                return to_rgb(image)
    except ImportError as error:
        raise UserError(f"{path} cannot be read. {error}.") from error
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. Unpack the images again, or remove its row from the list.") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not a readable image. Unpack or download this file again.") from error
    except MemoryError as error:
        raise UserError(
            f"{path} is damaged, or there is not enough memory to decode it. Unpack or download this file again, or "
            "remove its row from the list."
        ) from error
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} is damaged or truncated ({error}). Unpack or download this file again, or remove its row from the "
            "list."
        ) from error


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert an image opened with PIL to upright (H,W,3) uint8 RGB, using the first frame of an animation.

    Raises:
        Exception: one of :data:`DAMAGE`, if the data are damaged.
    """
    image.seek(0)
    return _to_rgb(_upright(image))


#: Exceptions of PIL for damaged files: OSError if truncated, SyntaxError, ValueError and others for broken headers,
#: RuntimeError from the AVIF decoder.
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
    RuntimeError,
)

#: Pixels of an image with more than 8 bits that are converted at a time.
_BLOCK = 1 << 20
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
    """Apply the EXIF orientation of a photo. PIL's function is not used: it fails if other tags are invalid."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # an unreadable tag does not make the image unusable
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        return np.repeat(_to_grey(np.asarray(image), image.mode)[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.ascontiguousarray(image.convert("RGB"))


def _to_grey(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """Convert a 16- or 32-bit greyscale image to 8 bits; PIL's conversion would clip at 255.

    Mode I does not record the file's bit depth, so images with values above 255 are treated as 16-bit. The image is
    converted in blocks, because the numbers in between need eight times the memory of the result. The blocks are not
    rows, because a damaged header can claim a single row of millions of pixels.
    """
    pixels = values.reshape(-1)
    blocks = [slice(start, start + _BLOCK) for start in range(0, pixels.size, _BLOCK)]
    highest = 0.0
    for block in blocks:
        if not np.isfinite(pixels[block]).all():
            raise ValueError("some pixels are NaN or infinite")
        highest = max(highest, float(pixels[block].max(initial=0)))
    grey = np.empty(pixels.size, np.uint8)
    for block in blocks:
        part = pixels[block].astype(np.float64)
        if mode == "F" and highest <= 1.0:
            part *= 255.0
        elif highest > 255 or mode.startswith("I;16"):
            part /= 257.0
        grey[block] = np.clip(np.rint(part), 0, 255)
    return grey.reshape(values.shape)


def crop_box(image: NDArray[np.uint8], box: Sequence[int]) -> NDArray[np.uint8]:
    """Crop a face box, clipped to the image.

    Args:
        image: (H,W,3).
        box: x, y, width, height in pixels.

    Returns:
        The cropped image.

    Raises:
        ValueError: if the box is outside the image, or empty.

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
    """Resize an image (H,W,3) to ``size`` x ``size`` pixels: area averaging for shrinking, bicubic for enlarging."""
    if image.shape[0] == size and image.shape[1] == size:
        return image
    shrinks = image.shape[0] >= size and image.shape[1] >= size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), dtype=np.uint8)


def has_no_colour(images: NDArray[np.uint8]) -> bool:
    """Whether (N,H,W,3) images are greyscale, allowing for JPEG artefacts in equal channels.

    Example:
        >>> has_no_colour(np.full((2, 4, 4, 3), 90, dtype=np.uint8))
        True
    """
    spread = images.max(axis=3).astype(np.int16) - images.min(axis=3)
    return len(images) > 0 and bool(spread.max() <= 4)
