"""Small figures of one width, to stand side by side on a wide page and below one another on a telephone.

Each function draws one panel and returns it as SVG whose colours are the page's own, so that it follows a dark page;
the same drawing is written as a PNG for other documents.
"""

from mfer_lightning.figures.panels.base import WIDTH, draw_panel
from mfer_lightning.figures.panels.comparison import Dot, plot_differences, plot_dots
from mfer_lightning.figures.panels.confusion import plot_small_confusion
from mfer_lightning.figures.panels.curves import Band, plot_bands
from mfer_lightning.figures.panels.embedding import plot_small_embedding
from mfer_lightning.figures.panels.forest import Effect, plot_forest
from mfer_lightning.figures.panels.reliability import plot_small_reliability

__all__ = [
    "WIDTH",
    "Band",
    "Dot",
    "Effect",
    "draw_panel",
    "plot_bands",
    "plot_differences",
    "plot_dots",
    "plot_forest",
    "plot_small_confusion",
    "plot_small_embedding",
    "plot_small_reliability",
]
