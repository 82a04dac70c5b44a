"""Replace figures by blank images, since drawing takes half the time of a tiny run."""

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
    """Write blank images instead of figures.

    ``tests/figures`` tests the drawing.
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
