"""The figure of a section's planned contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mfer_lightning.evaluation.statistics.methods import MethodMetric
from mfer_lightning.figures.panels import Effect, plot_forest
from mfer_lightning.report.pages.easel import Easel, Group
from mfer_lightning.report.study.contrasts import Planned
from mfer_lightning.report.study.planned import in_figure, metric_in_words
from mfer_lightning.report.study.verdicts import signed


def contrasts(easel: Easel, judged: Sequence[Planned], metric: MethodMetric) -> Group | None:
    """Every contrast's difference with its interval; None where nothing could be compared.

    Args:
        easel: where to draw.
        judged: of :func:`mfer_lightning.report.study.contrasts.judge`.
        metric: the compared figure.
    """
    if all(planned.comparison is None for planned in judged):
        return None
    effects, told = [], []
    for planned in judged:
        words, c = in_figure(planned), planned.comparison
        if c is None:
            effects.append(Effect(planned.contrast.name, words))
            told.append(f"{planned.contrast.name} {words}")
            continue
        low, high = (None if end is None else 100 * end for end in (c.low, c.high))
        effects.append(Effect(planned.contrast.name, words, 100 * c.difference, low, high, c.verdict))
        told.append(f"{planned.contrast.name} {signed(c.difference)}, {words}")
    draw = partial(
        plot_forest, effects, title="Planned contrasts", unit=f"difference in {metric_in_words(metric)}, points"
    )
    picture = easel.picture("contrasts", f"Differences of the planned contrasts in points: {'; '.join(told)}.", draw)
    family = "the contrasts of its family" if len({p.contrast.family for p in judged}) > 1 else "these contrasts"
    caption = (
        "Difference of the two methods of each contrast with its 95% interval over seeds and faces (▲ better, ▼ worse, "
        f"● tie, ◆ undecided, Holm-corrected over {family} alone). What could be seen, in points, is the true "
        "difference that would have been found four times in five."
    )
    return Group("Differences with intervals", caption, (picture,))
