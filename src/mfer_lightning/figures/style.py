"""Fonts, colours and file writing for all figures.

Figures use matplotlib's objects, never pyplot, whose global state would leak figures in long runs and conflict with
notebooks. The colours are Okabe and Ito's, with grey in place of yellow. Colour-blind readers can distinguish them, and
every class also has a marker; an emotion has the same colour and marker in all figures and datasets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mfer_lightning.emotions import canonical
from mfer_lightning.files import atomic_path

INK = "#222222"
PAPER = "#fefefe"  # white, but distinct from the white of letters on dark cells
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"

#: Colour and marker of each emotion.
_EMOTION_STYLES = {
    "neutral": ("#7A7A7A", "o"),
    "happiness": ("#E69F00", "^"),
    "sadness": ("#0072B2", "v"),
    "surprise": ("#56B4E9", "s"),
    "fear": ("#CC79A7", "D"),
    "disgust": ("#009E73", "P"),
    "anger": ("#D55E00", "X"),
    "contempt": ("#1A1A1A", "*"),
}
_OTHER_STYLES = tuple(_EMOTION_STYLES.values())
_MORE_MARKERS = "<>hpd8H"
#: Relative area of some markers, so that all markers appear equally large.
MARKER_SIZES = {"*": 2.2, "P": 1.5, "X": 1.4, "^": 1.2, "v": 1.2}

#: Style of figures, and its changes for panels of a report.
STYLE = Path(__file__).with_name("figure.mplstyle")
PANEL_STYLE = Path(__file__).with_name("panel.mplstyle")


@contextmanager
def new_figure(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure that is written to the PNG file ``path`` atomically when the block ends.

    Args:
        path: the file to write.
        width: inches; the file has 150 pixels per inch.
        height: inches.

    Raises:
        UserError: if the file cannot be written.
    """
    with style.context(STYLE):
        figure = Figure(figsize=(width, height), dpi=150)
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        FigureCanvasAgg(figure)
        yield figure
        lay_out(figure)
        write_png(figure, path)


def lay_out(figure: Figure) -> None:
    """Lay out a figure once; ``print_figure`` would draw it a second time for this."""
    engine = figure.get_layout_engine()
    if engine is not None and figure.axes:
        engine.execute(figure)
    figure.set_layout_engine("none")


def write_png(figure: Figure, path: str | Path) -> None:
    """Write a figure, which is already laid out, to a PNG file atomically.

    Raises:
        UserError: if the file cannot be written.
    """
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    with atomic_path(path) as temporary:
        # without matplotlib's version, so that equal data give equal files
        canvas.print_png(str(temporary), metadata={"Software": None})


def heading(figure: Figure, title: str) -> None:
    """Write the heading of a figure with several images."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def bare(axes: Axes, *, frame: bool = True) -> None:
    """Remove the grid and the ticks from axes, and also the frame if ``frame`` is false."""
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(frame)


def share_axis(axes: Axes, label: str) -> None:
    """Format the x axis for proportions from 0 to 1, labelled in per cent, and the y axis for names."""
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{value:.0f}" for value in np.linspace(0, 100, 6)])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(label)


def class_styles(class_names: Sequence[str]) -> list[tuple[str, str]]:
    """Return a colour and a marker for each class: those of the emotion, or unused ones for other classes.

    Example:
        >>> class_styles(["anger", "boredom"])
        [('#D55E00', 'X'), ('#7A7A7A', 'o')]
    """
    names = [canonical(name) for name in class_names]
    taken = {_EMOTION_STYLES[name] for name in names if name in _EMOTION_STYLES}
    free = [style for style in _OTHER_STYLES if style not in taken]
    # beyond eight classes, colours repeat with other markers
    free += [(colour, marker) for marker in _MORE_MARKERS for colour, _ in _OTHER_STYLES]
    spare = iter(free * (1 + len(names) // len(free)))
    return [_EMOTION_STYLES[name] if name in _EMOTION_STYLES else next(spare) for name in names]


def percent(value: float, digits: int = 1) -> str:
    """Format a proportion as a percentage.

    Example:
        >>> percent(0.9137)
        '91.4%'
    """
    return f"{100 * value:.{digits}f}%"
