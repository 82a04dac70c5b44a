"""What panels of one thing a row have in common: marks with intervals, words above the rows, an axis below."""

from __future__ import annotations

from matplotlib.axes import Axes

from mfer_lightning.figures.panels.base import PAPER


def draw_mark(
    axes: Axes, place: int, value: float | None, low: float | None, high: float | None, colour: str, marker: str
) -> None:
    """Draw a row's value, and its interval where it has one."""
    if low is not None and high is not None:
        axes.plot([low, high], [place] * 2, color=colour, linewidth=2, solid_capstyle="butt", zorder=2)
    if value is not None:
        axes.plot(
            value, place, marker, color=colour, markersize=7, markeredgecolor=PAPER, markeredgewidth=0.8, zorder=3
        )


def shortened(text: str, letters: int) -> str:
    """Cut a text that has no room.

    Example:
        >>> shortened("a long name", 8)
        'a lon...'
    """
    return text if len(text) <= letters else f"{text[: letters - 3]}..."


def finish_rows(axes: Axes, bottom: float, top: float, title: str, unit: str) -> None:
    """Turn the axes into rows from above, without a scale at their side."""
    axes.set_ylim(bottom, top)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.06)
    axes.set_xlabel(unit)
    axes.set_title(title)
