"""Requirements for every figure: complete, legible and inside the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

SMALLEST_FONT = 7.0


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """The figures that were written to files during a test."""
    figures: list[Figure] = []
    original = FigureCanvasAgg.print_png

    def spy(canvas: FigureCanvasAgg, *args: Any, **options: Any) -> Any:
        figures.append(canvas.figure)
        return original(canvas, *args, **options)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", spy)
    return figures


@pytest.fixture
def legible(drawn: list[Figure], monkeypatch: pytest.MonkeyPatch) -> Callable[[Figure, Path], list[str]]:
    """Check a figure and its file, and return the texts in it."""

    def check(figure: Figure, path: Path) -> list[str]:
        with Image.open(path) as image:
            assert image.format == "PNG"
            width, height = image.size
            assert (width, height) == pytest.approx(tuple(figure.get_size_inches() * 150), abs=1)
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20, "an empty picture"
        assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes), "an axis without a label"

        # only drawing shows which texts are visible: axes keep labels of ticks outside their view
        found: list[Text] = []
        with monkeypatch.context() as patch:
            patch.setattr(Text, "draw", lambda text, renderer: found.append(text))
            figure.canvas.draw()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        found = [text for text in found if text.get_visible() and text.get_text().strip()]
        for text in found:
            assert text.get_fontsize() >= SMALLEST_FONT, f"too small: {text.get_text()!r}"
            box = text.get_window_extent(renderer)
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
            assert inside, f"clipped: {text.get_text()!r} at {box.extents} in {(width, height)}"
        return [text.get_text() for text in found]

    return check
