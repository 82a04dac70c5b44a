"""Compute the tables of the W&B report from the results, in Markdown."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from mfer_lightning.data.protocols import BEST_ON_TEST
from mfer_lightning.evaluation.statistics.seeds import mean_and_spread
from mfer_lightning.tracking.dashboards.runs import FinishedRun

#: Metric -> heading.
METRICS = {"accuracy": "accuracy", "mean_class_accuracy": "mean class", "macro_f1": "macro F1"}

#: Selection metrics for which lower values are better, if no result states it.
_LOWER_IS_BETTER = frozenset({"nll", "calibration_error", "rmse", "rmse_valence", "rmse_arousal"})


def spread(values: Sequence[float | None]) -> str:
    """Format proportions as mean and sample standard deviation in per cent, with their number.

    Example:
        >>> spread([0.90, 0.92]), spread([0.9]), spread([]), spread([None, 0.9])
        ('91.00 ± 1.41 (2)', '90.00 (1)', '–', '90.00 (1)')
    """
    known = [value for value in values if value is not None]
    return mean_and_spread(known) + (f" ({len(known)})" if known else "")


def loss_by_backbone(runs: Sequence[FinishedRun], metric: str = "accuracy") -> str:
    """Make the table of losses (rows) and backbones (columns): mean, spread over seeds, number of runs.

    A cell whose runs differ in more than their seed shows the number of settings instead.
    """
    losses, backbones = _unique(run.loss for run in runs), _unique(run.backbone for run in runs)
    rows = []
    for loss in losses:
        cells = []
        for backbone in backbones:
            mine = [run for run in runs if (run.loss, run.backbone) == (loss, backbone)]
            settings = _unique(run.setting for run in mine)
            told = spread([run.metric(metric) for run in mine])
            cells.append(told if len(settings) <= 1 else f"{len(settings)} settings, see below")
        rows.append([loss, *cells])
    return markdown(["loss", *backbones], rows)


def by_setting(runs: Sequence[FinishedRun]) -> str:
    """Make the table of settings: mean, spread over seeds and number of runs for each main metric."""
    rows = []
    for setting in _unique(run.setting for run in runs):
        mine = [run for run in runs if run.setting == setting]
        rows.append([setting, *(spread([run.metric(name) for run in mine]) for name in METRICS)])
    return markdown(["setting", *(f"{title} %" for title in METRICS.values())], rows)


def method_by_noise(runs: Sequence[FinishedRun], metric: str = "accuracy") -> str:
    """Make the table of methods (rows) and proportions of flipped labels (columns): mean, spread, number of runs."""
    levels = sorted({run.noise for run in runs})
    rows = []
    for method in _unique(run.method for run in runs):
        mine = [run for run in runs if run.method == method]
        rows.append([method, *(spread([run.metric(metric) for run in mine if run.noise == noise]) for noise in levels)])
    return markdown(["method", *(noise_in_words(noise) for noise in levels)], rows)


def noise_in_words(noise: float) -> str:
    """Format a proportion of flipped labels.

    Example:
        >>> noise_in_words(0.0), noise_in_words(0.2)
        ('clean labels', 'label noise 20%')
    """
    return f"label noise {100 * noise:g}%" if noise else "clean labels"


def class_recalls(runs: Sequence[FinishedRun]) -> str:
    """Make the table of settings (rows) and classes (columns): mean recall in per cent."""
    classes = _unique(name for run in runs for name in run.result["class_names"])
    rows = []
    for setting in _unique(run.setting for run in runs):
        cells = []
        for name in classes:
            mine = (r.result["per_class"] for r in runs if r.setting == setting)
            found = [classes[name]["recall"] for classes in mine if name in classes]
            known = [100 * value for value in found if value is not None]
            cells.append(f"{statistics.fmean(known):.1f}" if known else "–")
        rows.append([setting, *cells])
    return markdown(["setting", *classes], rows)


def ranking(runs: Sequence[FinishedRun]) -> str:
    """Describe how :func:`best_runs` ranks the runs of a protocol."""
    selection = runs[0].result["selection"]
    if selection["split"] is None:
        return "Not ranked, because the protocol reports the last epoch and selects nothing"
    if selection["rule"] == BEST_ON_TEST:
        return "Ranked on the test split, on which this protocol selects checkpoints (optimistic)"
    return f"Ranked on the {selection['split']} split, on which this protocol selects checkpoints"


def best_runs(runs: Sequence[FinishedRun], limit: int = 10) -> str:
    """Make the table of the runs with the best value of the selection metric, with the reported results.

    Values of different selection metrics are not comparable: if there are several metrics, the runs are grouped by
    metric, with the most frequent metric first. Runs without a value come last.
    """
    monitors = Counter(run.result["selection"]["monitor"] for run in runs)
    modes: dict[str | None, str] = dict.fromkeys(_LOWER_IS_BETTER, "min")
    modes |= {s["monitor"]: s["mode"] for run in runs if "mode" in (s := run.result["selection"])}

    def rank(run: FinishedRun) -> tuple[bool, int, str, float]:
        monitor, value = run.result["selection"]["monitor"], run.result["selection"]["value"]
        sign = 1.0 if modes.get(monitor) == "min" else -1.0
        return value is None, -monitors[monitor], monitor or "", sign * (value or 0.0)

    rows = []
    for run in sorted(runs, key=rank)[:limit]:
        figures = [run.metric(name) for name in METRICS]
        shown = ["–" if figure is None else f"{100 * figure:.2f}" for figure in figures]
        rows.append([run.folder.name, run.setting, str(run.seed), _selection(run), *shown])
    return markdown(["run", "setting", "seed", "selection", *(f"{title} %" for title in METRICS.values())], rows)


def _selection(run: FinishedRun) -> str:
    monitor, value = run.result["selection"]["monitor"], run.result["selection"]["value"]
    if value is None:
        return "–"
    return f"{METRICS[monitor]} {100 * value:.2f}%" if monitor in METRICS else f"{monitor} {value:.4f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table; vertical bars in cells are escaped."""
    lines = [list(head), ["---"] * len(head), *[list(row) for row in rows]]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
