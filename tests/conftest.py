"""What all tests share."""

from __future__ import annotations

import os
from typing import TextIO

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

# One thread a worker: the suite runs in two processes, and timings do not matter here.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")


@pytest.fixture
def blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are put together and written, but blank: drawing them takes half of a tiny run's time, and most of a
    report's.

    What is drawn is tested in ``tests/figures``; a test that is marked ``drawn`` has its figures.
    """
    if request.node.get_closest_marker("drawn") is None:

        def blank_png(_: FigureCanvasAgg, filename: str, **__: object) -> None:
            Image.new("RGB", (8, 8)).save(filename, format="png")

        def blank_svg(_: FigureCanvasSVG, file: TextIO, **__: object) -> None:
            file.write('<svg viewBox="0 0 1 1"></svg>')

        monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
        monkeypatch.setattr(FigureCanvasAgg, "print_png", blank_png)
        monkeypatch.setattr(FigureCanvasSVG, "print_svg", blank_svg)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's own cache of decoded images."""
    monkeypatch.setenv("MFER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
