"""Draw a matrix of proportions as a heat map: a figure, or a panel of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mfer_lightning.figures.panel import draw_panel
from mfer_lightning.figures.style import BLUE, INK, PAPER, bare, new_figure

#: Opacity of cells of 0% and 100%.
_FAINT, _FULL = 0.06, 1.0
#: Maximum number of columns of a panel with room for a line of text below the numbers.
ROOMY = 4


def draw_heat_map(
    axes: Axes,
    values: Sequence[Sequence[float | None]],
    below: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    framed: Sequence[Sequence[bool]] | None = None,
    *,
    small: bool = False,
) -> None:
    """Draw each proportion as shade and number, in per cent, with a line of text below it.

    Args:
        axes: axes to draw on.
        values: (M,D) proportions from 0 to 1; None: not measured, drawn as a dash.
        below: (M,D) texts below the numbers, such as intervals.
        rows: M names.
        columns: D names.
        framed: (M,D) which cells have a frame; None: no frames.
        small: use the font sizes of a panel.

    Raises:
        ValueError: if the shapes differ.
    """
    scale, width = (0.78, 14) if small else (1.0, 22)
    shape = (len(rows), len(columns))
    for name, given in (("values", values), ("below", below), ("framed", framed)):
        if given is not None and (len(given), {len(row) for row in given}) != (shape[0], {shape[1]}):
            raise ValueError(f"Expected argument `{name}` to be of shape {shape}.")
    for i, j in np.ndindex(*shape):
        value = values[i][j]
        opacity = _FAINT + (_FULL - _FAINT) * (value or 0.0)
        edge = INK if framed is not None and framed[i][j] else "none"
        axes.add_patch(Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, facecolor=BLUE, alpha=opacity, linewidth=0))
        axes.add_patch(Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, fill=False, edgecolor=edge, linewidth=1.4))
        ink = PAPER if (value or 0.0) > 0.5 else INK
        number = "–" if value is None else f"{100 * value:.1f}"
        axes.text(j, i - 0.1, number, ha="center", va="center", color=ink, fontsize=11 * scale)
        axes.text(j, i + 0.22, below[i][j], ha="center", va="center", color=ink, fontsize=7.5 * scale)
    bare(axes, frame=False)
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    axes.set_xticks(range(shape[1]), [_folded(name, width) for name in columns], fontsize=9 * scale)
    axes.set_yticks(range(shape[0]), [_folded(name, width) for name in rows], fontsize=9 * scale)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3)


def plot_heat_map(
    values: Sequence[Sequence[float | None]],
    below: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | Path,
    *,
    framed: Sequence[Sequence[bool]] | None = None,
    caption: str = "",
) -> None:
    """Draw a heat map to a file; arguments as for :func:`draw_heat_map`.

    Args:
        values: (M,D) proportions.
        below: (M,D) texts.
        rows: M names.
        columns: D names.
        path: PNG to write.
        framed: (M,D) which cells have a frame.
        caption: a line below the map.
    """
    names = max(len(line) for name in rows for line in _folded(name).split("\n"))
    with new_figure(path, 0.8 + 0.075 * names + 1.25 * len(columns), 1.0 + 0.72 * len(rows)) as figure:
        axes = figure.add_subplot()
        draw_heat_map(axes, values, below, rows, columns, framed)
        if caption:
            axes.set_xlabel(caption, fontsize=8, color="#555555", loc="left")


def heat_map_panel(
    values: Sequence[Sequence[float | None]],
    below: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | Path | None,
    *,
    framed: Sequence[Sequence[bool]] | None = None,
    title: str = "",
) -> str:
    """Draw a heat map as a panel; arguments as for :func:`draw_heat_map`.

    Args:
        values: (M,D) proportions.
        below: (M,D) texts; left out if there are too many columns.
        rows: M names.
        columns: D names.
        path: PNG to write, or None.
        framed: (M,D) which cells have a frame.
        title: heading.

    Returns:
        The panel as SVG.
    """
    texts = below if len(columns) <= ROOMY else [["" for _ in row] for row in below]
    with draw_panel(path, 1.1 + 0.5 * len(rows), title) as panel:
        draw_heat_map(panel.axes, values, texts, rows, columns, framed, small=True)
    return panel.svg


def _folded(name: str, width: int = 22) -> str:
    """Wrap a name at spaces, hyphens and slashes into lines of about this width."""
    lines, line = [], ""
    for part in name.replace("-", "-\0").replace("/", "/\0").replace(" ", " \0").split("\0"):
        if line and len(line) + len(part.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += part
    return "\n".join([*lines, line])
