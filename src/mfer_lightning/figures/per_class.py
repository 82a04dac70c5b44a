"""Draw the recall of each class with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.figures.style import BLUE, INK, ORANGE, new_figure, percent, share_axis


def plot_per_class(
    per_class: Mapping[str, Mapping[str, Any]], path: str | Path, title: str = "Recall of each class"
) -> None:
    """Draw the recall of each class as a bar with its 95% Wilson interval, and the mean as a line.

    Args:
        per_class: the ``per_class`` of a result: class name -> metrics with ``n`` and ``recall`` (None if the class has
            no samples).
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: if there are no classes.
    """
    if not per_class:
        raise ValueError("Expected argument `per_class` to contain at least one class, but got none.")
    names = list(per_class)
    recalls = [per_class[name]["recall"] for name in names]
    with new_figure(path, 7.0, 1.5 + 0.42 * len(names)) as figure:
        axes = figure.add_subplot()
        for place, (name, recall) in enumerate(zip(names, recalls, strict=True)):
            n = per_class[name]["n"]
            if recall is None or n < 1:
                axes.text(0.01, place, "no samples", va="center", fontsize=9)
                continue
            low, high = wilson(round(recall * n), n)
            axes.barh(place, recall, height=0.62, color=BLUE, alpha=0.75)
            axes.plot([low, high], [place] * 2, color=INK, linewidth=1.4, marker="|", markersize=7, clip_on=False)
            axes.text(1.13, place, percent(recall), ha="right", va="center", fontsize=9)
            axes.text(1.15, place, f"[{100 * low:.1f}, {100 * high:.1f}]", va="center", fontsize=9)
        known = [recall for recall in recalls if recall is not None]
        if known:
            mean = float(np.mean(known))
            axes.axvline(mean, color=ORANGE, linewidth=1.4, linestyle="--", label=f"mean of classes {percent(mean)}")
            figure.legend(loc="outside lower right")
        axes.set_yticks(range(len(names)), [f"{name} ({per_class[name]['n']:,})" for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        share_axis(axes, "recall (%), with 95% Wilson interval")
        axes.set_ylabel("true class (samples)")
        axes.set_title(title)
