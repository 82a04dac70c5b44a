"""Contrasts below one another: each difference with its interval, and its verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfer_lightning.figures.panels.base import PAPER, draw_panel
from mfer_lightning.figures.panels.comparison import VERDICT_STYLES
from mfer_lightning.figures.panels.rows import draw_mark, finish_rows, shortened
from mfer_lightning.figures.style import INK

#: Letters that fit beside one another, and inches of a row.
_LETTERS, _ROW = 46, 0.64


@dataclass(frozen=True)
class Effect:
    """One row of a forest plot.

    Args:
        label: what is compared.
        words: the verdict, and what else there is to say of it; stands below the interval.
        difference: where the mark stands; None where nothing was compared.
        low: lower end of its interval, or None.
        high: upper end, or None.
        verdict: ``better``, ``worse``, ``tie`` or ``undecided``: colour and mark.
    """

    label: str
    words: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str = "undecided"


def plot_forest(effects: Sequence[Effect], path: str | Path | None, title: str, unit: str) -> str:
    """Draw differences with their intervals around a line at zero, told apart by colour, mark and words.

    Args:
        effects: one a row, in order from above.
        path: PNG to write, or None.
        title: heading.
        unit: what the axis measures.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: where there is nothing to draw.
    """
    if not effects:
        raise ValueError("Expected argument `effects` to hold at least one row, but got none.")
    with draw_panel(path, 0.62 + _ROW * len(effects)) as panel:
        axes = panel.figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        for place, effect in enumerate(effects):
            colour, mark = VERDICT_STYLES.get(effect.verdict, VERDICT_STYLES["undecided"])
            if effect.low is not None and effect.high is not None:
                ends = [effect.low, effect.high]
                axes.plot(ends, [place] * 2, "|", color=colour, markersize=6, markeredgewidth=1.6, zorder=2)
            draw_mark(axes, place, effect.difference, effect.low, effect.high, colour, mark)
            for text, offset, ink in ((effect.label, -0.28, INK), (effect.words, 0.26, colour)):
                axes.annotate(
                    shortened(text, _LETTERS),
                    (0, place + offset), xycoords=("axes fraction", "data"), fontsize=8.5, va="center", color=ink,
                    bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}, zorder=4,
                )  # fmt: skip
        finish_rows(axes, len(effects) - 0.45, -0.55, title, unit)
    return panel.svg
