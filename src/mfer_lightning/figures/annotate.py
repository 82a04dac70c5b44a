"""Draw boxes and emotions into photos and frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mfer_lightning.figures.style import class_styles
from mfer_lightning.files import atomic_path

#: One mark: box x, y, width, height (None: the whole picture), what to call the face (may be empty), and emotion ->
#: probability in the order of the classes.
Mark = tuple[tuple[float, float, float, float] | None, str, Mapping[str, float]]


def annotate(image: NDArray[np.uint8], marks: Sequence[Mark], bars: int = 3) -> NDArray[np.uint8]:
    """Draw marks into a copy of a picture.

    Each face gets its box in the colour of its likeliest emotion, and a plate with the likeliest emotions as bars:
    below the box, or above where there is no room, or within it.

    Args:
        image: (H,W,3) uint8 RGB.
        marks: one a face.
        bars: emotions on a plate.

    Returns:
        (H,W,3) uint8 RGB.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture, "RGBA")
    for box, name, shares in marks:
        x, y, width, height = box if box is not None else (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        colours = {emotion: colour for emotion, (colour, _) in zip(shares, class_styles(list(shares)), strict=True)}
        top = sorted(shares.items(), key=lambda item: -item[1])[:bars]
        line = max(2, round(min(image.shape[:2]) / 250))
        draw.rectangle((x, y, x + width, y + height), outline=colours[top[0][0]], width=line)
        _plate(draw, picture.size, (x, y, width, height), name, top, colours)
    return np.asarray(picture, dtype=np.uint8)


def _plate(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    name: str,
    top: Sequence[tuple[str, float]],
    colours: Mapping[str, str],
) -> None:
    x, y, width, height = box
    letters = int(np.clip(width / 7.5, 9, max(9, min(size) / 22)))
    font, row = _font(letters), round(1.35 * letters)
    texts = [f"{emotion} {share:.0%}" for emotion, share in top]
    lines = [name, *texts] if name else texts
    wide = round(max(width, max(font.getlength(text) for text in lines) + letters))
    tall = row * len(lines) + round(0.3 * letters)
    left = min(max(0, round(x)), max(0, size[0] - wide))
    upper = next((place for place in (y + height, y - tall) if 0 <= place <= size[1] - tall), max(0, y + height - tall))
    draw.rectangle((left, upper, left + wide, upper + tall), fill=(255, 255, 255, 205))
    at = upper + round(0.15 * letters)
    if name:
        draw.text((left + letters // 3, at), name, fill="#222222", font=font)
        at += row
    for (emotion, share), text in zip(top, texts, strict=True):
        draw.rectangle((left, at, left + round(wide * share), at + row - 1), fill=_tint(colours[emotion]))
        draw.text((left + letters // 3, at), text, fill="#000000", font=font)
        at += row


def _tint(colour: str) -> tuple[int, int, int, int]:
    """Make a bar's colour light enough for black letters."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return round((red + 255) / 2), round((green + 255) / 2), round((blue + 255) / 2), 235


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def write_picture(path: str | Path, image: NDArray[np.uint8], quality: int = 92) -> None:
    """Write an (H,W,3) RGB picture as a JPEG file, whole or not at all.

    Raises:
        UserError: where the file cannot be written.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="JPEG", quality=quality)
