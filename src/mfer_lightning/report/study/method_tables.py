"""The tables of whole methods: figures and verdicts, further metrics, cost, optimism, published figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.statistics import MethodComparison, optimism_gap, summarise_seeds
from mfer_lightning.report.study.columns import axis_cells, axis_columns, axis_data
from mfer_lightning.report.study.comparisons import points, signed
from mfer_lightning.report.study.sections import Method, Section
from mfer_lightning.report.study.tables import NOTHING, Cell, Column, Number, Table, deviation_of, mean_of, spread

#: Figure -> heading, those given in per cent and those in their own unit.
SHARES = {"accuracy": "accuracy %", "mean_class_accuracy": "mean class %", "macro_f1": "macro F1 %"}
FURTHER = {
    "weighted_f1": ("weighted F1 %", 100.0, 2),
    "top2_accuracy": ("top-2 %", 100.0, 2),
    "cohen_kappa": ("Cohen's kappa", 1.0, 3),
    "nll": ("NLL (nats)", 1.0, 3),
    "brier": ("Brier", 1.0, 3),
    "ece": ("ECE %", 100.0, 2),
    "kl_to_votes": ("KL to votes (nats)", 1.0, 3),
    "cross_entropy_to_votes": ("cross-entropy to votes (nats)", 1.0, 3),
}
VERDICTS = {"better": "▲ better", "worse": "▼ worse", "tie": "= tie", "undecided": "? undecided"}


def main_table(section: Section, metric: str) -> Table:
    """Methods with their figures, and how they compare with the baseline."""
    title = SHARES.get(metric, metric)
    over_seeds = "mean ± sample standard deviation over seeds"
    interval = "t interval of the mean over seeds; of a single seed (w) Wilson's over faces"
    columns = (
        *axis_columns(section),
        Column("seeds", numeric=True, about="runs that differ in their seed alone"),
        *(Column(heading, numeric=True, about=over_seeds) for heading in SHARES.values()),
        Column(f"95% interval of {title}", numeric=True, about=interval),
        Column("difference", numeric=True, about="from the baseline in points, 95% interval over seeds and faces"),
        Column("p (Holm)", numeric=True, about="corrected for all comparisons of this table"),
        Column("could be seen", numeric=True, about="true difference in points found four times in five, so corrected"),
        Column("verdict", about="at 5%, Holm-corrected"),
    )
    rows, data = [], []
    for method in section.methods:
        comparison = section.comparisons.get(method.label)
        low, high, mark = _interval(section, method, metric)
        rows.append(
            (
                *axis_cells(section, method),
                Cell(str(method.seeds), method.seeds),
                *(spread(method.figures(name)) for name in SHARES),
                Cell(NOTHING if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}{mark}", low),
                *_compared(section, method, comparison),
            )
        )
        data.append(_as_data(section, method, comparison, metric, (low, high)))
    chosen = "as asked for" if section.baseline_chosen else "the simplest; baseline=<axis>=<value> chooses another"
    caption = (
        f"{_faces(section)}. Mean ± standard deviation over seeds. Baseline: {section.baseline.label} ({chosen}). "
        "Differences, intervals and verdicts count both what another seed and what other faces would change."
    )
    return Table("methods", f"Methods, by {title}", columns, tuple(rows), caption, tuple(data))


def further_table(section: Section) -> Table:
    """Methods with the metrics beyond accuracy."""
    present = [name for name in FURTHER if any(m.figures(name) for m in section.methods)]
    columns = (*axis_columns(section), *(Column(FURTHER[name][0], numeric=True) for name in present))
    rows = tuple(
        (*axis_cells(section, m), *(spread(m.figures(name), FURTHER[name][1], FURTHER[name][2]) for name in present))
        for m in section.methods
    )
    data = tuple(
        {**axis_data(section, m), **{name: mean_of(m.figures(name)) for name in present}} for m in section.methods
    )
    caption = (
        "Mean ± standard deviation over seeds. NLL, Brier and ECE (15 bins of equal mass) are better when lower: they "
        "measure whether confidences can be believed."
    )
    return Table("further", "Calibration and further metrics", columns, rows, caption, data)


def cost_table(section: Section) -> Table:
    """Methods with what they cost."""
    columns = (
        *axis_columns(section),
        Column("parameters (M)", numeric=True),
        Column("GFLOPs", numeric=True, about="thousand million multiply-adds for one face"),
        Column("training time (s)", numeric=True, about="all epochs, validation included"),
        Column("images / s", numeric=True, about="median over epochs of training"),
        Column("peak memory (MB)", numeric=True),
    )
    scale = {"parameters": 1e-6, "gflops": 1.0, "seconds": 1.0, "images_per_second": 1.0, "peak_memory_bytes": 1e-6}
    digits = {"parameters": 2, "gflops": 3, "seconds": 0, "images_per_second": 0, "peak_memory_bytes": 0}
    rows, data = [], []
    for method in section.methods:
        found = {key: _costs(method, key) for key in scale}
        cells = [
            Cell(NOTHING) if (mean := mean_of(found[key])) is None else Cell(f"{mean * f:,.{digits[key]}f}", mean)
            for key, f in scale.items()
        ]
        rows.append((*axis_cells(section, method), *cells))
        data.append({**axis_data(section, method), **{key: mean_of(values) for key, values in found.items()}})
    machines = dict.fromkeys(_machine(run.result.get("hardware")) for run in section.runs)
    caption = f"Means over seeds, on {'; '.join(machines)}."
    caption += " Times on different or shared machines do not compare." if len(section.runs) > 1 else ""
    return Table("cost", "What each method costs", columns, tuple(rows), caption, tuple(data))


def optimism_table(section: Section) -> tuple[Table | None, list[str]]:
    """What choosing the epoch on the test set would have gained, where runs recorded it; and what went wrong."""
    columns = (
        *axis_columns(section),
        Column("seeds", numeric=True),
        Column("chosen on val %", numeric=True),
        Column("best on test %", numeric=True, about="what choosing the epoch on the test set would report"),
        Column("last five epochs %", numeric=True, about="mean, without any choice"),
        Column("optimism gap", numeric=True, about="best on test less chosen on val, in points"),
    )
    rows, data, problems = [], [], []
    for method in section.methods:
        gaps = []
        for run in method.runs:
            epoch, metrics = run.result["selection"]["epoch"], run.metrics()
            if epoch is None or not run.trained or metrics is None:
                continue
            try:
                gap = optimism_gap(metrics, int(epoch))
            except (UserError, ValueError) as error:
                problems.append(f"{run.folder.name}: no optimism gap ({error})")
                continue
            gaps += [] if gap is None else [gap]
        if gaps:
            names = ("val_selected", "best_on_test", "mean_of_last_five", "gap")
            values = {name: [float(getattr(gap, name)) for gap in gaps] for name in names}
            cells = [spread(v) for v in values.values()]
            rows.append((*axis_cells(section, method), Cell(str(len(gaps)), len(gaps)), *cells))
            data.append({**axis_data(section, method), **{name: mean_of(v) for name, v in values.items()}})
    if not rows:
        return None, problems
    caption = (
        "Runs with track_test=true. The gap is what a figure gains, without any better model, when its epoch is chosen "
        "on the test set, as most published figures' was. Test accuracy at the end of an epoch as training measured it."
    )
    return Table("optimism", "Optimism gap", columns, tuple(rows), caption, tuple(data)), problems


@lru_cache(maxsize=1)
def published() -> Mapping[str, Any]:
    """The published figures that the package carries (``published.yaml``)."""
    text = files("mfer_lightning.report.study").joinpath("published.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)
    return found


def published_table(section: Section) -> Table | None:
    """Published figures of the section's dataset, for reference; None where there are none."""
    dataset = section.protocol.partition("@")[0]
    found = published()
    entries = [e for e in found["figures"] if dataset in e["accuracy"]]
    if not entries:
        return None
    columns = (
        Column("published method"),
        Column("year", numeric=True),
        Column("published accuracy %", numeric=True, about="as printed; another protocol"),
        Column("remark"),
        Column("source"),
    )
    rows = tuple(
        (
            Cell(e["method"], kind="quiet"),
            Cell(str(e["year"] or NOTHING), e["year"], kind="quiet"),
            Cell(f"{e['accuracy'][dataset]:.2f}", e["accuracy"][dataset], kind="quiet"),
            Cell((e.get("remarks") or {}).get(dataset) or e.get("remark") or "", kind="quiet"),
            Cell(e["source"], kind="quiet"),
        )
        for e in entries
    )
    data = tuple({"method": e["method"], "year": e["year"], "accuracy": e["accuracy"][dataset] / 100} for e in entries)
    return Table("published", "Published figures, for reference only", columns, rows, found["about"], data)


def _interval(section: Section, method: Method, metric: str) -> tuple[float | None, float | None, str]:
    values = method.figures(metric)
    if len(values) > 1:
        found = summarise_seeds(values)
        return found.low, found.high, ""
    if values and metric == "accuracy" and section.n:
        return *wilson(round(values[0] * section.n), section.n), " (w)"
    return None, None, ""


def _compared(section: Section, method: Method, comparison: MethodComparison | None) -> tuple[Cell, ...]:
    if method is section.baseline:
        return Cell("baseline", 0.0, "baseline"), Cell(NOTHING), Cell(NOTHING), Cell("baseline", 0.0, "baseline")
    return comparison_cells(comparison)


def comparison_cells(comparison: MethodComparison | None) -> tuple[Cell, ...]:
    """Give a comparison as four cells: difference with interval, corrected p, what could be seen, verdict."""
    if comparison is None:
        return Cell(NOTHING), Cell(NOTHING), Cell(NOTHING), Cell(NOTHING, kind="undecided")
    drawn, below = None, ""
    if comparison.low is not None and comparison.high is not None:
        drawn = (100 * comparison.low, 100 * comparison.difference, 100 * comparison.high)
        below = f"{signed(comparison.low)} to {signed(comparison.high)}"
    p, smallest = comparison.adjusted_p_value, comparison.smallest_detectable
    return (
        Cell(signed(comparison.difference), 100 * comparison.difference, below=below, interval=drawn),
        Cell(NOTHING) if p is None else Cell(p_in_words(p), p),
        Cell(NOTHING) if smallest is None else Cell(points(smallest), smallest),
        Cell(VERDICTS[comparison.verdict], kind=comparison.verdict),
    )


def p_in_words(p: float) -> str:
    """Write a p-value.

    Example:
        >>> p_in_words(0.0312), p_in_words(1e-6)
        ('0.031', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _as_data(
    section: Section,
    method: Method,
    comparison: MethodComparison | None,
    metric: str,
    interval: tuple[float | None, float | None],
) -> dict[str, Number]:
    data = axis_data(section, method) | {"seeds": method.seeds}
    for name in SHARES:
        data |= {name: mean_of(method.figures(name)), f"{name}_sd": deviation_of(method.figures(name))}
    data |= {f"{metric}_low": interval[0], f"{metric}_high": interval[1]}
    data |= {f"baseline_{name}": value for name, value in comparison_data(comparison).items()}
    if method is section.baseline:
        data["baseline_verdict"] = "baseline"
    return data


def comparison_data(comparison: MethodComparison | None) -> dict[str, Number]:
    """Give a comparison as plain numbers by name, shares and not points; None throughout where there is none."""
    names = ("difference", "low", "high", "p_value", "adjusted_p_value", "smallest_detectable", "verdict")
    return {name: None if comparison is None else getattr(comparison, name) for name in names}


def _costs(method: Method, key: str) -> list[float]:
    found = [run.result["cost"].get(key) for run in method.runs if run.trained or key in ("parameters", "gflops")]
    return [float(value) for value in found if isinstance(value, (int, float)) and not isinstance(value, bool)]


def _machine(hardware: Any) -> str:
    if not isinstance(hardware, Mapping):
        return "a machine that was not recorded"
    gpus = hardware.get("gpus")
    if isinstance(gpus, Sequence) and gpus:
        return f"{len(gpus)} x {gpus[0]}"
    return f"{hardware.get('processor', 'processor unknown')}, {hardware.get('threads', '?')} threads"


def _faces(section: Section) -> str:
    return f"{section.n:,} faces of {len(section.class_names)} classes ({section.evaluation_set})"
