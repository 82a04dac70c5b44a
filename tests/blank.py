"""Figures that are put together and written, but blank: drawing them takes half of a tiny run's time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image


@contextmanager
def blank_drawings() -> Iterator[None]:
    """Write blank pictures instead of figures.

    What is drawn is tested in ``tests/figures``.
    """

    def blank_png(_: FigureCanvasAgg, filename: str, **__: object) -> None:
        Image.new("RGB", (8, 8)).save(filename, format="png")

    def blank_svg(_: FigureCanvasSVG, file: TextIO, **__: object) -> None:
        file.write('<svg viewBox="0 0 1 1"></svg>')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
        patch.setattr(FigureCanvasAgg, "print_png", blank_png)
        patch.setattr(FigureCanvasSVG, "print_svg", blank_svg)
        yield
