"""Convert files, bytes, PIL images, arrays and tensors to upright RGB pictures, or explain why one cannot be read."""

from __future__ import annotations

import io
import re
import stat
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mfer_lightning.data.images.decode import DAMAGE, to_rgb
from mfer_lightning.data.images.heif import prepare_for
from mfer_lightning.errors import expect_choice
from mfer_lightning.inference.media.photo_files import find_photos, shown
from mfer_lightning.inference.results import NOT_AN_IMAGE, OK, TOO_LARGE, UNREADABLE

#: Pictures with more pixels are not decoded: 8,000 x 8,000, 192 MB as RGB.
MOST_PIXELS = 64_000_000

#: Supported formats. PIL's other formats are not photos, run programs (EPS), or have no signature (TGA).
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")

COLOURS = ("RGB", "BGR")

_NO_MEMORY = "there is not enough memory to decode it"

Pixels = NDArray[np.uint8]


@dataclass
class Picture:
    """One photo or frame, before prediction.

    Args:
        path: name of the file; None for an array.
        image: (H,W,3) uint8 RGB, upright; None if it could not be read.
        status: one of :data:`mfer_lightning.inference.results.STATUSES`; ``"ok"`` means that there is an image.
        message: a sentence explaining why there is no image, or no face in it.
        width: in pixels, if known.
        height: in pixels, if known.
        frame: number of the frame in a video.
        time: time of the frame, in seconds.
        rotated: degrees clockwise by which it was rotated to find faces; None: not rotated.
    """

    path: str | None = None
    image: Pixels | None = field(default=None, repr=False)
    status: str = OK
    message: str = ""
    width: int = 0
    height: int = 0
    frame: int | None = None
    time: float | None = None
    rotated: int | None = None


def of_image(image: Pixels, path: str | None = None, **where: Any) -> Picture:
    """Create a picture from an (H,W,3) array."""
    return Picture(path, image, width=image.shape[1], height=image.shape[0], **where)


def read_photo(path: Path, most_pixels: int = MOST_PIXELS) -> Picture:
    """Read a photo, or explain why it cannot be read. The header is checked before anything is decoded.

    Args:
        path: the file.
        most_pixels: larger photos are rejected.

    Returns:
        The picture. Damaged or unsupported files do not raise an exception; ``status`` and ``message`` describe them.
    """
    name = shown(path)
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            return Picture(name, status=NOT_AN_IMAGE, message="it is not a file")
        if facts.st_size == 0:
            return Picture(name, status=UNREADABLE, message="it is empty (0 bytes)")
        with path.open("rb") as file:
            return _decode(file, name, most_pixels)
    except FileNotFoundError:
        return Picture(name, status=UNREADABLE, message="there is no such file")
    except OSError as error:
        return Picture(name, status=UNREADABLE, message=f"it cannot be opened ({error.strerror or error})")


def _decode(file: Any, name: str | None, most_pixels: int) -> Picture:
    width, height, heif = 0, 0, False
    Image.init()
    try:
        heif = prepare_for(file)
        formats = [name for name in FORMATS if name in Image.OPEN]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about size, which is limited here, and unusual tags
            with Image.open(file, formats=formats) as image:
                width, height = image.size
                if width * height > most_pixels:
                    return _too_large(name, width, height, most_pixels)
                return of_image(to_rgb(image), name)
    except ImportError as error:
        return Picture(name, status=UNREADABLE, message=str(error))
    except Image.DecompressionBombError as error:
        count = next(iter(re.findall(r"\d{6,}", str(error))), "")
        pixels = f"{int(count):,} pixels" if count else "its pixels"
        return Picture(
            name, status=TOO_LARGE, message=f"{pixels} are more than the limit of {most_pixels:,} (max_pixels)"
        )
    except UnidentifiedImageError:
        if heif:
            return Picture(name, status=UNREADABLE, message="it is damaged or truncated")
        return Picture(name, status=NOT_AN_IMAGE, message="its content is not a readable image")
    except MemoryError:
        return Picture(name, None, TOO_LARGE, _NO_MEMORY, width, height)
    except DAMAGE as error:
        return Picture(name, None, UNREADABLE, f"it is damaged or truncated ({error})", width, height)


def _too_large(name: str | None, width: int, height: int, most: int) -> Picture:
    message = f"{width:,} x {height:,} pixels are more than the limit of {most:,} (max_pixels)"
    return Picture(name, None, TOO_LARGE, message, width, height)


def pictures(source: Any, colour: str = "RGB", most_pixels: int = MOST_PIXELS) -> Iterator[Picture]:
    """Read the pictures of a source.

    Args:
        source: a path (a photo, a recursively searched folder, or a pattern such as ``photos/*.jpg``), the bytes of an
            image file, a PIL image, a uint8 array (H,W), (H,W,1), (H,W,3), (H,W,4) or (N,H,W,3), a uint8 tensor
            (3,H,W) or (N,3,H,W), or a list or other iterable of these, except patterns.
        colour: channel order of arrays: ``"RGB"``, or ``"BGR"`` as OpenCV reads them.
        most_pixels: larger photos are not decoded, but get an error message.

    Yields:
        The pictures, read lazily.

    Raises:
        UserError: if a path does not exist, a folder contains no photo, or no file matches a pattern. A missing file in
            a list raises no error; its picture has the status ``"unreadable"``.
        ValueError: for objects that are not pictures.
    """
    expect_choice("colour", colour, COLOURS)
    if isinstance(source, (str, Path)):
        for path in find_photos(source).paths:
            yield read_photo(path, most_pixels)
    elif isinstance(source, (bytes, bytearray)):
        yield _decode(io.BytesIO(source), None, most_pixels)
    elif isinstance(source, Image.Image):
        yield _opened(source, most_pixels)
    elif hasattr(source, "__array__") and hasattr(source, "ndim"):
        yield from _arrays(source, colour)
    elif isinstance(source, Iterable):
        for item in source:
            if isinstance(item, (str, Path)) and not Path(item).expanduser().is_dir():
                yield read_photo(Path(item).expanduser(), most_pixels)  # a missing file in a list gets a row
            else:
                yield from pictures(item, colour, most_pixels)
    else:
        raise ValueError(
            f"Expected argument `source` to be a path, bytes, a PIL image, an array, or a list of these, but got "
            f"{type(source).__name__}."
        )


def _opened(image: Image.Image, most_pixels: int) -> Picture:
    name = str(getattr(image, "filename", "") or "") or None
    if image.width * image.height > most_pixels:
        return _too_large(name, image.width, image.height, most_pixels)
    try:
        return of_image(to_rgb(image), name)
    except MemoryError:
        return Picture(name, None, TOO_LARGE, _NO_MEMORY, image.width, image.height)
    except DAMAGE as error:
        return Picture(name, None, UNREADABLE, f"it is damaged or truncated ({error})", image.width, image.height)


def _arrays(source: Any, colour: str) -> Iterator[Picture]:
    tensor = hasattr(source, "detach")
    values = np.asarray(source.detach().cpu() if tensor else source)
    legal = "uint8 (3,H,W) or (N,3,H,W)" if tensor else "uint8 (H,W), (H,W,1), (H,W,3), (H,W,4) or (N,H,W,3)"
    channels = {3: (1, 3, 4), 4: (3,)}  # by the number of dimensions
    got = f"{values.dtype} {tuple(values.shape)}"
    if values.dtype != np.uint8 or values.size == 0:
        hint = " Multiply numbers in 0..1 by 255 first." if values.dtype.kind == "f" else ""
        raise ValueError(f"Expected argument `source` to be {legal}, but got {got}.{hint}")
    if tensor and values.ndim in (3, 4) and values.shape[-3] == 3:
        values = np.moveaxis(values, -3, -1)
    elif tensor or (values.ndim != 2 and values.shape[-1] not in channels.get(values.ndim, ())):
        raise ValueError(f"Expected argument `source` to be {legal}, but got {got}.")
    for one in values if values.ndim == 4 else values[None]:
        yield of_image(_three_channels(one, colour))


def _three_channels(values: Pixels, colour: str) -> Pixels:
    if values.ndim == 2 or values.shape[2] == 1:
        return np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    if colour == "BGR":
        values = values[:, :, [2, 1, 0, 3][: values.shape[2]]]
    if values.shape[2] == 4:
        return to_rgb(Image.fromarray(np.ascontiguousarray(values)))
    return np.ascontiguousarray(values)
