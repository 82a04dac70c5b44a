"""Find a place for a face's label: inside the picture, next to the face, and if possible without overlaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: x, y, width, height in pixels.
Rectangle = tuple[float, float, float, float]

#: Fraction of a face's box, at its lower end, that contains the mouth.
_MOUTH = 0.45
#: Cost of covering a pixel of another label, and extra cost of a pixel of a mouth, relative to a pixel of a face.
_WEIGHT = 4


def best_place(
    sizes: Sequence[tuple[int, int]],
    face: Rectangle,
    picture: tuple[int, int],
    faces: Sequence[Rectangle],
    labels: Sequence[Rectangle],
) -> tuple[int, Rectangle] | None:
    """Choose a size and a place for the label of a face.

    Args:
        sizes: possible widths and heights of the label, in order of preference.
        face: box of the face, within the picture.
        picture: width and height of the picture.
        faces: boxes of all faces, including this one.
        labels: the labels placed so far.

    Returns:
        Index of the size, and the box of the label: the first place where it covers no face and no other label, or
        else the place where it covers the least of them; None if no size fits into the picture.

    Example:
        >>> best_place([(40, 20)], (10, 10, 40, 40), (100, 100), [(10, 10, 40, 40)], [])
        (0, (10, 50, 40, 20))
        >>> best_place([(40, 20)], (0, 0, 60, 60), (60, 60), [(0, 0, 60, 60)], [])
        (0, (0, 0, 40, 20))
        >>> best_place([(40, 20)], (0, 0, 30, 30), (30, 30), [(0, 0, 30, 30)], [])
    """
    mouths = [(x, y + (1 - _MOUTH) * height, width, _MOUTH * height) for x, y, width, height in faces]
    best: tuple[float, int, Rectangle] | None = None
    for number, (wide, tall) in enumerate(sizes):
        for x, y in _places(face, wide, tall, picture):
            if not (0 <= x <= picture[0] - wide and 0 <= y <= picture[1] - tall):
                continue
            place = (x, y, wide, tall)
            covered = sum(_overlap(place, box) for box in faces)
            covered += _WEIGHT * sum(_overlap(place, box) for box in (*mouths, *labels))
            cost = covered / (wide * tall)
            if best is None or cost < best[0]:
                best = cost, number, place
            if cost == 0:
                return number, place
    return None if best is None else best[1:]


def _places(face: Rectangle, wide: int, tall: int, picture: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """Yield upper left corners: below, above, right and left of the face, and inside the corners of the face."""
    x, y, width, height = face
    columns = [_moved_in(at, picture[0] - wide) for at in (x, x + width - wide)]
    rows = [_moved_in(at, picture[1] - tall) for at in (y, y + height - tall)]
    for below_or_above in (y + height, y - tall):
        yield from ((column, below_or_above) for column in columns)
    for beside in (x + width, x - wide):
        yield from ((beside, row) for row in rows)
    yield from ((column, row) for row in rows for column in columns)


def _moved_in(at: float, most: float) -> float:
    return min(max(0, at), max(0, most))


def _overlap(a: Rectangle, b: Rectangle) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)
