"""What all tests share."""

from __future__ import annotations

import os

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

# One thread a worker: the suite runs in two processes, and timings do not matter here.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")


@pytest.fixture
def blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are put together and written, but blank: drawing them takes half of a tiny run's time.

    What is drawn is tested in ``tests/figures``; a test that is marked ``drawn`` has its figures.
    """
    if request.node.get_closest_marker("drawn") is None:

        def blank(_: FigureCanvasAgg, filename: str, **__: object) -> None:
            Image.new("RGB", (8, 8)).save(filename, format="png")

        monkeypatch.setattr(FigureCanvasAgg, "print_figure", blank)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's own cache of decoded images."""
    monkeypatch.setenv("MFER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
