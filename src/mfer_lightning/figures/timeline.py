"""Draw the emotions of one person over the course of a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from mfer_lightning.figures.style import class_styles, new_figure


def plot_timeline(
    times: Sequence[float],
    shares: NDArray[np.float64],
    class_names: Sequence[str],
    path: str | Path,
    title: str = "Emotions over time",
    gap: float = 1.0,
) -> None:
    """Draw the probabilities of the emotions over time as stacked layers, and the most probable one as a strip.

    Args:
        times: (T,) seconds, ascending.
        shares: (T,K) probabilities; each row sums to 1.
        class_names: the K emotions.
        path: PNG to write.
        title: heading.
        gap: the layers are interrupted where the person is out of view for longer than this, in seconds.

    Raises:
        ValueError: if ``times`` is empty, or the shapes disagree.
    """
    values = np.asarray(shares, dtype=np.float64)
    if len(times) == 0 or values.shape != (len(times), len(class_names)):
        raise ValueError(
            f"Expected argument `shares` of shape ({len(times)}, {len(class_names)}) with at least one row, "
            f"but got {values.shape}."
        )
    moments = np.asarray(times, dtype=np.float64)
    step = float(np.median(np.diff(moments))) if len(moments) > 1 else 1.0
    colours = [colour for colour, _ in class_styles(class_names)]
    with new_figure(path, 9.0, 3.6) as figure:
        strip, layers = figure.subplots(2, 1, sharex=True, height_ratios=[1, 9])
        for part in np.split(np.arange(len(moments)), np.flatnonzero(np.diff(moments) > max(gap, 1.5 * step)) + 1):
            edges = np.append(moments[part], moments[part[-1]] + step)
            held = np.vstack([values[part], values[part[-1]]])
            layers.stackplot(edges, held.T, colors=colours, step="post", linewidth=0)
            for start, end, row in zip(edges[:-1], edges[1:], values[part], strict=True):
                strip.axvspan(start, end, color=colours[int(row.argmax())], linewidth=0)
        strip.set_yticks([])
        strip.grid(visible=False)
        strip.spines[["left", "bottom"]].set_visible(False)
        strip.tick_params(axis="x", length=0)
        strip.set_title(title)
        layers.set_ylim(0, 1)
        layers.set_xlim(moments[0], moments[-1] + step)
        layers.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        layers.set_ylabel("probability (%)")
        layers.set_xlabel("seconds")
        handles = [Patch(color=colour, label=name) for name, colour in zip(class_names, colours, strict=True)][::-1]
        legend = layers.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
        for text in legend.get_texts():
            text.set_parse_math(False)  # the name of a class is not a formula
