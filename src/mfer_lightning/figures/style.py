"""Share fonts, colours and file writing among all figures.

Figures are made through matplotlib's objects, never through pyplot, whose global state would leak figures in long
runs and clash with a notebook's own. The colours are Okabe and Ito's, which colour-blind readers can tell apart, and
every class has a marker as well; an emotion keeps both in every figure and every dataset.
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
PAPER = "#fefefe"  # white, but told apart from the white of letters on dark cells
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
#: Area of some markers, so that all look equally large.
MARKER_SIZES = {"*": 2.2, "P": 1.5, "X": 1.4, "^": 1.2, "v": 1.2}

#: Style sheets of figures, and what panels of a report change of it.
STYLE = Path(__file__).with_name("figure.mplstyle")
PANEL_STYLE = Path(__file__).with_name("panel.mplstyle")


@contextmanager
def new_figure(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure that becomes the PNG file ``path``, whole or not at all, when the block ends.

    Args:
        path: the file to write.
        width: inches; the file has 150 pixels for each.
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
    """Place everything in a figure, once: ``print_figure`` would draw the figure a second time to do so."""
    engine = figure.get_layout_engine()
    if engine is not None and figure.axes:
        engine.execute(figure)
    figure.set_layout_engine("none")


def write_png(figure: Figure, path: str | Path) -> None:
    """Write a figure that is laid out to a PNG file atomically.

    Raises:
        UserError: if the file cannot be written.
    """
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    with atomic_path(path) as temporary:
        canvas.print_png(str(temporary), metadata={"Software": None})  # no version inside: equal data, equal files


def heading(figure: Figure, title: str) -> None:
    """Write the heading of a figure of several pictures."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def bare(axes: Axes, *, frame: bool = True) -> None:
    """Take grid and ticks from axes that show a picture, and the frame as well."""
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(frame)


def share_axis(axes: Axes, label: str) -> None:
    """Make the x axis one of shares in per cent, from 0 to 1, and the y axis one of names."""
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{value:.0f}" for value in np.linspace(0, 100, 6)])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(label)


def class_styles(class_names: Sequence[str]) -> list[tuple[str, str]]:
    """Give a colour and a marker for each class: an emotion's own, or for other classes one that is still free.

    Example:
        >>> class_styles(["anger", "boredom"])
        [('#D55E00', 'X'), ('#7A7A7A', 'o')]
    """
    names = [canonical(name) for name in class_names]
    taken = {_EMOTION_STYLES[name] for name in names if name in _EMOTION_STYLES}
    free = [style for style in _OTHER_STYLES if style not in taken]
    # past eight classes colours come round again, with other markers
    free += [(colour, marker) for marker in _MORE_MARKERS for colour, _ in _OTHER_STYLES]
    spare = iter(free * (1 + len(names) // len(free)))
    return [_EMOTION_STYLES[name] if name in _EMOTION_STYLES else next(spare) for name in names]


def percent(value: float, digits: int = 1) -> str:
    """Write a share as a percentage.

    Example:
        >>> percent(0.9137)
        '91.4%'
    """
    return f"{100 * value:.{digits}f}%"
