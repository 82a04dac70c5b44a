"""Draw boxes and emotions on photos and frames."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mfer_lightning.figures.label_places import Rectangle, best_place
from mfer_lightning.figures.style import class_styles
from mfer_lightning.files import atomic_path

#: One mark: box x, y, width, height (None: the whole picture), name of the face (may be empty), and emotion ->
#: probability in the order of the classes.
Mark = tuple[tuple[float, float, float, float] | None, str, Mapping[str, float]]

#: Font sizes in pixels: the smallest that is easy to read, and the minimum, for tiny pictures.
_READABLE, _SMALLEST = 9, 6


def annotate(image: NDArray[np.uint8], marks: Sequence[Mark], bars: int = 3) -> NDArray[np.uint8]:
    """Draw marks on a copy of a picture.

    Each face gets a box in the colour of its most probable emotion, and a label with the most probable emotions as
    bars. The label is never cut off, and is placed next to the box where it covers no other face or label. If there is
    no such place, a smaller font is tried, then only the most probable emotion; otherwise, the label covers part of a
    face, preferably not the mouth. In a picture too small for any label, only the box is drawn.

    Args:
        image: (H,W,3) uint8 RGB.
        marks: one per face.
        bars: number of emotions on a label.

    Returns:
        (H,W,3) uint8 RGB.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture, "RGBA")
    boxes = [_within(box, picture.size) for box, _, _ in marks]
    colours = [
        {name: colour for name, (colour, _) in zip(shares, class_styles(list(shares)), strict=True)}
        for _, _, shares in marks
    ]
    line = max(2, round(min(picture.size) / 250))
    for (x, y, width, height), own, (_, _, shares) in zip(boxes, colours, marks, strict=True):
        draw.rectangle((x, y, x + width - 1, y + height - 1), outline=own[_likeliest(shares, 1)[0][0]], width=line)
    plates: list[Rectangle] = []
    for box, own, (_, name, shares) in zip(boxes, colours, marks, strict=True):
        top = _likeliest(shares, bars)
        for layouts in (list(_readable(picture.size, box, name, top)), list(_tiny(top))):
            found = best_place([(layout.wide, layout.tall) for layout in layouts], box, picture.size, boxes, plates)
            if found is not None:
                number, place = found
                plates.append(place)
                layouts[number].draw(draw, place, own)
                break
    return np.asarray(picture, dtype=np.uint8)


class _Layout:
    """The text of a label in one font size."""

    def __init__(
        self, letters: int, name: str, top: Sequence[tuple[str, float]], least: float, shares: bool = True
    ) -> None:
        self.letters, self.name, self.top = letters, name, top
        self.font, self.row = _font(letters), round(1.35 * letters)
        self.texts = [f"{emotion} {share:.0%}" if shares else emotion for emotion, share in top]
        lines = [name, *self.texts] if name else self.texts
        self.wide = round(max(least, max(self.font.getlength(text) for text in lines) + letters))
        self.tall = self.row * len(lines) + round(0.3 * letters)

    def draw(self, draw: ImageDraw.ImageDraw, place: Rectangle, colours: Mapping[str, str]) -> None:
        left, upper, wide, tall = (round(v) for v in place)
        draw.rectangle((left, upper, left + wide - 1, upper + tall - 1), fill=(255, 255, 255, 215))
        at, indent = upper + round(0.15 * self.letters), left + self.letters // 3
        if self.name:
            draw.text((indent, at), self.name, fill="#222222", font=self.font)
            at += self.row
        for (emotion, share), text in zip(self.top, self.texts, strict=True):
            end = left + round((wide - 1) * share)
            draw.rectangle((left, at, end, at + self.row - 1), fill=_tint(colours[emotion]))
            draw.text((indent, at), text, fill="#000000", font=self.font)
            at += self.row


def _readable(size: tuple[int, int], box: Rectangle, name: str, top: Sequence[tuple[str, float]]) -> Iterator[_Layout]:
    """Yield labels in order of preference: as wide as the face, narrower, in smaller fonts, with a single emotion."""
    wished = round(float(np.clip(box[2] / 7.5, max(_READABLE, min(size) / 80), max(_READABLE, min(size) / 22))))
    sizes = [wished]
    while sizes[-1] > _READABLE:
        sizes.append(max(_READABLE, round(0.8 * sizes[-1])))
    yield _Layout(wished, name, top, box[2])
    half = [letters for letters in sizes if letters >= wished / 2]
    for chosen in (half, sizes[len(half) :]):
        for shown in (top, top[:1]):
            yield from (_Layout(letters, name, shown, 0) for letters in chosen)


def _tiny(top: Sequence[tuple[str, float]]) -> Iterator[_Layout]:
    """Yield labels for pictures in which no readable one fits."""
    for shares in (True, False):
        yield from (_Layout(n, "", top[:1], 0, shares) for n in range(_READABLE - 1, _SMALLEST - 1, -1))


def _likeliest(shares: Mapping[str, float], most: int) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: -item[1])[:most]


def _within(box: tuple[float, float, float, float] | None, size: tuple[int, int]) -> Rectangle:
    """Clip a box to the picture, so that all its sides are visible."""
    x, y, width, height = box if box is not None else (0.0, 0.0, *map(float, size))
    left, upper = min(max(0.0, x), size[0] - 1.0), min(max(0.0, y), size[1] - 1.0)
    return left, upper, max(1.0, min(x + width, size[0]) - left), max(1.0, min(y + height, size[1]) - upper)


def _tint(colour: str) -> tuple[int, int, int, int]:
    """Lighten the colour of a bar, so that black text on it is readable."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return round((red + 255) / 2), round((green + 255) / 2), round((blue + 255) / 2), 235


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def write_picture(path: str | Path, image: NDArray[np.uint8], quality: int = 92) -> None:
    """Write an (H,W,3) RGB picture as a JPEG file atomically.

    Raises:
        UserError: if the file cannot be written.
    """
    encoded = io.BytesIO()  # if the disk fills up while the end of a file is written, Pillow reports no error
    Image.fromarray(image).save(encoded, format="JPEG", quality=quality)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.getvalue())
