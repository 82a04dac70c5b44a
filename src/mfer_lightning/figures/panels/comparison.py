"""Methods below one another: a figure of each, or its difference from a baseline, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from mfer_lightning.figures.panels.base import AXIS, QUIET, draw_panel
from mfer_lightning.figures.panels.rows import draw_mark, finish_rows, shortened
from mfer_lightning.figures.style import BLUE, GREEN, INK, ORANGE

#: Verdict -> colour and marker: told apart without colour, too.
VERDICT_STYLES = {"better": (BLUE, "^"), "worse": (ORANGE, "v"), "tie": (QUIET, "o"), "undecided": (QUIET, "D")}


@dataclass(frozen=True)
class Dot:
    """One line of a panel.

    Args:
        label: of the method.
        mean: where the dot stands.
        low: lower end of its interval, or None.
        high: upper end, or None.
        seeds: single values, drawn small.
        verdict: how it compares with the baseline; empty for the baseline itself.
    """

    label: str
    mean: float
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()
    verdict: str = "tie"


def plot_dots(
    dots: Sequence[Dot],
    path: str | Path | None,
    title: str,
    unit: str,
    baseline: float | None = None,
    reference: tuple[float, str] | None = None,
) -> str:
    """Draw a figure of each method: the mean, its interval, and the seeds as small dots.

    Args:
        dots: one a method, in order from above.
        path: PNG to write, or None.
        title: heading.
        unit: what the axis measures.
        baseline: a dashed line there.
        reference: a dotted line at a value, and what it is.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: where there is nothing to draw.
    """
    if not dots:
        raise ValueError("Expected argument `dots` to hold at least one method, but got none.")
    with draw_panel(path, 0.62 + 0.4 * len(dots) + 0.2 * (reference is not None)) as panel:
        axes = panel.figure.add_subplot()
        if baseline is not None:
            axes.axvline(baseline, color=AXIS, linewidth=1, linestyle="--", zorder=1)
        if reference is not None:
            axes.axvline(reference[0], color=GREEN, linewidth=1.4, linestyle=":", label=reference[1], zorder=1)
            panel.figure.legend(loc="outside lower left")
        for place, dot in enumerate(dots):
            draw_mark(axes, place, dot.mean, dot.low, dot.high, BLUE if dot.verdict else INK, "o")
            axes.plot(dot.seeds, [place + 0.2] * len(dot.seeds), ".", color=QUIET, markersize=4, zorder=4)
        _finish(axes, [dot.label for dot in dots], title, unit)
    return panel.svg


def plot_differences(dots: Sequence[Dot], path: str | Path | None, title: str, unit: str) -> str:
    """Draw the difference of each method from the baseline with its interval, marked by the verdict.

    Args:
        dots: one a method but the baseline; ``mean`` is the difference.
        path: PNG to write, or None.
        title: heading.
        unit: what the axis measures.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: where there is nothing to draw.
    """
    if not dots:
        raise ValueError("Expected argument `dots` to hold at least one method, but got none.")
    with draw_panel(path, 0.62 + 0.4 * len(dots)) as panel:
        axes = panel.figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        for place, dot in enumerate(dots):
            colour, marker = VERDICT_STYLES.get(dot.verdict, VERDICT_STYLES["undecided"])
            draw_mark(axes, place, dot.mean, dot.low, dot.high, colour, marker)
        _finish(axes, [dot.label for dot in dots], title, unit)
    return panel.svg


def _finish(axes: Axes, labels: Sequence[str], title: str, unit: str) -> None:
    """Write labels above their lines, where they cost no width."""
    for place, label in enumerate(labels):
        axes.annotate(
            shortened(label, 44),
            (0, place - 0.4),
            xycoords=("axes fraction", "data"),
            fontsize=8.5,
            va="center",
            color=INK,
        )
    finish_rows(axes, len(labels) - 0.55, -0.75, title, unit)
