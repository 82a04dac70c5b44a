"""Draw a column of estimates with intervals: methods, differences from a baseline, planned contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfer_lightning.figures.panel import AXIS, QUIET, draw_panel
from mfer_lightning.figures.style import BLUE, GREEN, INK, ORANGE, PAPER

#: Verdict -> colour and marker, so that they are distinguishable without colour.
VERDICT_STYLES = {"better": (BLUE, "^"), "worse": (ORANGE, "v"), "tie": (QUIET, "o"), "undecided": (QUIET, "D")}
#: Maximum number of characters per line.
_LETTERS = 46
#: Maximum factor by which a reference may extend the axis.
_WIDEST = 2.0


@dataclass(frozen=True)
class Estimate:
    """One row.

    Args:
        label: what is estimated; printed above the interval.
        value: the estimate; None if there is nothing to show.
        low: lower limit of its interval, or None.
        high: upper limit, or None.
        seeds: values of the seeds, drawn small.
        verdict: ``better``, ``worse``, ``tie`` or ``undecided``; empty for the baseline.
        words: the verdict and remarks; printed below the interval.
    """

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()
    verdict: str = "tie"
    words: str = ""


def estimates_panel(
    rows: Sequence[Estimate],
    path: str | Path | None,
    title: str,
    unit: str,
    *,
    differences: bool = False,
    baseline: float | None = None,
    reference: tuple[float, str] | None = None,
    limits: tuple[float, float] | None = None,
) -> str:
    """Draw each estimate as a mark with its interval, and the values of its seeds as small dots.

    Lines are drawn only next to the intervals, so that they do not cross the names.

    Args:
        rows: the estimates, from the top.
        path: PNG to write, or None.
        title: heading.
        unit: label of the x axis.
        differences: values are differences: draw a line at zero, and mark verdicts by colour and marker.
        baseline: position of a dashed line.
        reference: position and name of a dotted line; if it is so far away that the intervals would become too
            short to read, its value is printed instead.
        limits: limits of the axis, to make panels comparable; None: derived from the rows.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not rows:
        raise ValueError("Expected argument `rows` to contain at least one estimate, but got none.")
    worded = any(row.words for row in rows)
    inches, label_at, top, bottom = (0.64, -0.28, -0.55, -0.45) if worded else (0.4, -0.4, -0.75, -0.55)
    with draw_panel(path, 0.62 + inches * len(rows) + 0.2 * (reference is not None), title) as panel:
        axes = panel.axes
        low, high = limits or _limits(rows, [0.0] if differences else [] if baseline is None else [baseline])
        if reference is not None and limits is None:
            wider = min(low, reference[0]), max(high, reference[0])
            if wider[1] - wider[0] <= _WIDEST * (high - low):
                low, high = wider
        margin = 0 if limits else 0.06 * (high - low)
        axes.set_xlim(low - margin, high + margin)

        def line(value: float, **how: Any) -> None:
            for place in range(len(rows)):
                axes.plot([value] * 2, [place - 0.15, place + (0.15 if worded else 0.3)], zorder=1, **how)

        if differences:
            line(0, color=INK, linewidth=1)
        if baseline is not None:
            line(baseline, color=AXIS, linewidth=1, linestyle="--")
        if reference is not None:
            how: dict[str, Any] = {"color": GREEN, "linewidth": 1.4, "linestyle": ":"}
            there = low <= reference[0] <= high
            if there:
                line(reference[0], **how)
            named = reference[1] if there else f"{reference[1]}: {reference[0]:.1f}, outside this axis"
            axes.plot([], [], label=named, **(how if there else {"linestyle": "none"}))
            panel.figure.legend(loc="outside lower left", **({} if there else {"handlelength": 0}))
        for place, row in enumerate(rows):
            colour, marker = (BLUE if row.verdict else INK, "o")
            if differences:
                colour, marker = VERDICT_STYLES.get(row.verdict, VERDICT_STYLES["undecided"])
            if row.low is not None and row.high is not None:
                ends: dict[str, Any] = {"marker": "|", "markersize": 6, "markeredgewidth": 1.6} if worded else {}
                interval = [row.low, row.high], [place] * 2
                axes.plot(*interval, color=colour, linewidth=2, solid_capstyle="butt", zorder=2, **ends)
            if row.value is not None:
                edge: dict[str, Any] = {"markeredgecolor": PAPER, "markeredgewidth": 0.8}
                axes.plot(row.value, place, marker, color=colour, markersize=7, zorder=3, **edge)
            axes.plot(row.seeds, [place + 0.2] * len(row.seeds), ".", color=QUIET, markersize=4, zorder=4)
            for text, offset, ink in ((row.label, label_at, INK), (row.words, 0.26, colour)):
                axes.annotate(
                    text if len(text) <= _LETTERS else f"{text[: _LETTERS - 3]}...",
                    (0, place + offset), xycoords=("axes fraction", "data"), fontsize=8.5, va="center", color=ink,
                    bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}, zorder=4,
                )  # fmt: skip
        axes.set_ylim(len(rows) + bottom, top)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(unit)
    return panel.svg


def _limits(rows: Sequence[Estimate], lines: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest drawn value, as a non-empty range."""
    ends = [end for row in rows for end in (row.value, row.low, row.high, *row.seeds) if end is not None]
    low, high = min([*ends, *lines], default=0.0), max([*ends, *lines], default=0.0)
    return (low, high) if high > low else (low - 1, high + 1)
