"""Panels: small figures of equal width, shown side by side on a wide page and stacked on a phone.

A panel is drawn once and written twice: as SVG with the page's colours, which adapts to dark mode, and as PNG for other
documents.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mfer_lightning.figures.style import INK, PANEL_STYLE, PAPER, STYLE, lay_out, write_png

#: Inches; 346 pixels on a page, which scales it to the width of its column.
WIDTH = 3.6

QUIET = "#6b6b6b"
AXIS = "#8c8c8c"
GRID = "#e6e6e6"

#: Colour in the drawing -> custom CSS property of the page, lighter in dark mode. The colours are Okabe and Ito's.
PAGE_COLOURS = {
    INK: "--ink", PAPER: "--paper", QUIET: "--quiet", AXIS: "--axis", GRID: "--grid",
    "#0072b2": "--blue", "#d55e00": "--orange", "#009e73": "--green", "#cc79a7": "--pink",
    "#e69f00": "--yellow", "#56b4e9": "--sky", "#7a7a7a": "--grey", "#1a1a1a": "--black",
}  # fmt: skip


@dataclass
class Panel:
    """A panel: ``figure`` and ``axes`` while it is drawn, ``svg`` afterwards."""

    figure: Figure
    axes: Axes
    svg: str = ""


@contextmanager
def draw_panel(path: str | Path | None, height: float, title: str) -> Iterator[Panel]:
    """Yield an empty panel that is written when the block ends.

    Args:
        path: PNG to write atomically; None for no file.
        height: inches.
        title: heading.

    Yields:
        The panel; its ``svg`` is available after the block.

    Raises:
        UserError: if the file cannot be written.
    """
    with style.context([STYLE, PANEL_STYLE]), warnings.catch_warnings():
        figure = Figure(figsize=(WIDTH, height), dpi=150)
        figure.set_layout_engine("constrained", w_pad=0.04, h_pad=0.04)
        FigureCanvasAgg(figure)
        panel = Panel(figure, figure.add_subplot(title=title))
        yield panel
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page's font has these glyphs; the PNG shows boxes
        lay_out(figure)
        if path is not None:
            write_png(figure, path)
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        panel.svg = themed(text.getvalue())


def themed(svg: str) -> str:
    """Convert an SVG file for inclusion in a page: the page's colours and font, unique ids, no background.

    Args:
        svg: content of an SVG file written by matplotlib.

    Returns:
        The ``<svg>`` element, without width and height, so that it fills its container.
    """
    body = svg[svg.index("<svg") :]
    # a style would apply to the whole page
    unwanted = r"(<metadata>.*?</metadata>|<style type=\"text/css\">.*?</style>|<!--.*?-->)\s*"
    body = re.sub(unwanted, "", body, flags=re.DOTALL)
    body = re.sub(r'\s<g id="patch_1">.*?</g>', "", body, count=1, flags=re.DOTALL)  # the figure's white background
    head, _, rest = body.partition(">")
    box = re.search(r'viewBox="([^"]+)"', head)
    rest = re.sub(r"font: ([^;\"]*?)(\d[\d.]*px) [^;\"]*", r"font: \1\2 var(--sans)", rest)
    rest = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", rest)
    for colour, name in PAGE_COLOURS.items():
        rest = re.sub(re.escape(colour), f"var({name})", rest, flags=re.IGNORECASE)
    mark = hashlib.sha256(rest.encode()).hexdigest()[:6]
    rest = re.sub(r'\bid="', f'id="f{mark}-', rest)
    rest = re.sub(r'(href="|url\()#', rf"\1#f{mark}-", rest)
    return f'<svg viewBox="{box[1] if box else "0 0 1 1"}" xmlns:xlink="http://www.w3.org/1999/xlink">{rest}'.strip()
