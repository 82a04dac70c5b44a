"""Make the tables of methods: results and verdicts, further metrics, cost, optimism, published results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.statistics import MethodComparison, optimism_gap
from mfer_lightning.evaluation.valence_arousal import TITLES as AFFECT
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.study.comparisons import points, signed
from mfer_lightning.reporting.study.method_intervals import method_interval
from mfer_lightning.reporting.study.method_table import MethodRow, method_table
from mfer_lightning.reporting.study.sections import Method, Section
from mfer_lightning.reporting.study.tables import NOTHING, Cell, Column, Number, Table, deviation_of, mean_of, spread

#: Metric -> heading in the main table, all in per cent; and metric -> heading, factor and digits of further metrics.
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
    **{
        name: (f"{title} %" if unit else title, factor, digits)
        for name, (title, unit, factor, digits) in AFFECT.items()
    },
}
#: Key in a result's ``cost`` -> heading, factor, digits, and meaning.
COSTS = {
    "parameters": ("parameters (M)", 1e-6, 2, ""),
    "gflops": ("GFLOPs", 1.0, 3, "10^9 multiply-adds for one face"),
    "seconds": ("training time (s)", 1.0, 0, "all epochs, including validation"),
    "images_per_second": ("images / s", 1.0, 0, "median over epochs of training"),
    "peak_memory_bytes": ("peak memory (MB)", 1e-6, 0, ""),
}
#: Field of an optimism gap -> heading and meaning.
OPTIMISM = {
    "val_selected": ("chosen on val %", ""),
    "best_on_test": ("best on test %", "what selecting the epoch on the test set would report"),
    "mean_of_last_five": ("last five epochs %", "mean, without selection"),
    "gap": ("optimism gap", "best on test minus chosen on val, in points"),
}
VERDICTS = {"better": "▲ better", "worse": "▼ worse", "tie": "= tie", "undecided": "? undecided"}
_BASELINE = (Cell("baseline", 0.0, "baseline"), Cell(NOTHING), Cell(NOTHING), Cell("baseline", 0.0, "baseline"))


def main_table(section: Section, metric: str) -> Table:
    """Make the table of the methods' main results, and their comparison with the baseline."""
    title = SHARES.get(metric, metric)
    over_seeds = "mean ± sample standard deviation over seeds"
    interval = "of the mean over seeds; with fewer than three seeds, only over faces or joined folds"
    columns = (
        Column("seeds", numeric=True, about="runs that differ only in their seed"),
        *(Column(heading, numeric=True, about=over_seeds) for heading in SHARES.values()),
        Column(f"95% interval of {title}", numeric=True, about=interval),
        Column("difference", numeric=True, about="from the baseline in points, 95% interval over seeds and faces"),
        Column("p (Holm)", numeric=True, about="corrected for all comparisons of this table"),
        Column(
            "detectable",
            numeric=True,
            about="true difference in points that is detected with 80% power, with this correction",
        ),
        Column("verdict", about="at 5%, Holm-corrected"),
    )

    def row(method: Method) -> MethodRow:
        comparison = section.comparisons.get(method.label)
        found = method_interval(method, metric)
        low, high, covers = (None, None, "") if found is None else (found.low, found.high, f"over {found.covers}")
        baseline = method is section.baseline
        cells = (
            Cell(str(method.seeds), method.seeds),
            *(spread(method.figures(name)) for name in SHARES),
            Cell(NOTHING if found is None else f"{100 * found.low:.2f} to {100 * found.high:.2f}", low, below=covers),
            *(_BASELINE if baseline else comparison_cells(comparison)),
        )
        data: dict[str, Number] = {"seeds": method.seeds}
        for name in SHARES:
            data |= {name: mean_of(method.figures(name)), f"{name}_sd": deviation_of(method.figures(name))}
        data |= {f"{metric}_low": low, f"{metric}_high": high, f"{metric}_interval": covers}
        data |= {f"baseline_{name}": value for name, value in comparison_data(comparison).items()}
        return cells, data | ({"baseline_verdict": "baseline"} if baseline else {})

    chosen = "as requested" if section.baseline_chosen else "the simplest; baseline=<axis>=<value> chooses another"
    faces = f"{counted(section.n, 'face')} of {counted(len(section.class_names), 'class')} ({section.evaluation_set})"
    caption = (
        f"{faces}. Mean ± standard deviation over seeds. Baseline: {section.baseline.label} ({chosen}). "
        "Differences, intervals and verdicts account for the variation over both seeds and faces."
    )
    return method_table(section, "methods", f"Methods, by {title}", columns, row, caption)


def further_table(section: Section) -> Table:
    """Make the table of the metrics beyond accuracy."""
    named = {name for m in section.methods for run in m.runs for name in run.result["metrics"]}  # with metrics=
    forms = FURTHER | {name: (name, 1.0, 3) for name in sorted(named - FURTHER.keys() - SHARES.keys())}
    present = {name: form for name, form in forms.items() if any(m.figures(name) for m in section.methods)}

    def row(method: Method) -> MethodRow:
        found = {name: method.figures(name) for name in present}
        cells = [spread(found[name], unit, digits) for name, (_, unit, digits) in present.items()]
        return cells, {name: mean_of(values) for name, values in found.items()}

    columns = [Column(heading, numeric=True) for heading, _, _ in present.values()]
    caption = (
        "Mean ± standard deviation over seeds. NLL, Brier and ECE (15 bins of equal mass) are better when lower. ECE "
        "measures only how well confidences are calibrated; NLL and Brier also depend on the accuracy."
    )
    return method_table(section, "further", "Calibration and further metrics", columns, row, caption)


def cost_table(section: Section) -> Table:
    """Make the table of the cost of each method."""

    def row(method: Method) -> MethodRow:
        means = {key: mean_of(_costs(method, key)) for key in COSTS}
        forms = ((means[key], factor, digits) for key, (_, factor, digits, _) in COSTS.items())
        return [Cell(NOTHING) if m is None else Cell(f"{m * f:,.{d}f}", m) for m, f, d in forms], means

    columns = [Column(heading, numeric=True, about=about) for heading, _, _, about in COSTS.values()]
    machines = dict.fromkeys(_machine(run.result.get("hardware")) for run in section.runs)
    caption = f"Means over seeds, on {'; '.join(machines)}."
    caption += " Times on different or shared machines are not comparable." if len(section.runs) > 1 else ""
    return method_table(section, "cost", "Cost of each method", columns, row, caption)


def optimism_table(section: Section) -> tuple[Table | None, list[str]]:
    """Make the table of the gain from selecting the epoch on the test set, if runs recorded test metrics.

    Returns:
        The table, or None; and a list of problems.
    """
    problems: list[str] = []

    def row(method: Method) -> MethodRow | None:
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
        values = {name: [float(getattr(gap, name)) for gap in gaps] for name in OPTIMISM}
        cells = [Cell(str(len(gaps)), len(gaps)), *map(spread, values.values())]
        return (cells, {name: mean_of(found) for name, found in values.items()}) if gaps else None

    headings = (Column(heading, numeric=True, about=about) for heading, about in OPTIMISM.values())
    caption = (
        "Runs with track_test=true. The gap is the gain, without a better model, from selecting the epoch on the test "
        "set, as in most published results. Test accuracies are those measured during training at the end of epochs."
    )
    columns = (Column("seeds", numeric=True), *headings)
    table = method_table(section, "optimism", "Optimism gap", columns, row, caption)
    return table if table.rows else None, problems


@lru_cache(maxsize=1)
def published() -> Mapping[str, Any]:
    """Return the published results in the package (``published.yaml``)."""
    text = files("mfer_lightning.reporting.study").joinpath("published.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)
    return found


def published_table(section: Section) -> Table | None:
    """Make the table of published results on the section's dataset; None if there are none."""
    dataset = section.protocol.partition("@")[0]
    found = published()
    entries = [e for e in found["figures"] if dataset in e["accuracy"]]
    if not entries:
        return None
    columns = (
        Column("published method"),
        Column("year", numeric=True),
        Column("published accuracy %", numeric=True, about="as published, under a different protocol"),
        Column("remark"),
        Column("source"),
    )
    rows, data = [], []
    for entry in entries:
        method, year, accuracy = entry["method"], entry["year"], entry["accuracy"][dataset]
        remark = (entry.get("remarks") or {}).get(dataset) or entry.get("remark") or ""
        texts = ((method, None), (str(year or NOTHING), year), (f"{accuracy:.2f}", accuracy), (remark, None))
        rows.append(tuple(Cell(text, sort, "quiet") for text, sort in (*texts, (entry["source"], None))))
        data.append({"method": method, "year": year, "accuracy": accuracy / 100})
    title = "Published results, for reference only"
    return Table("published", title, columns, tuple(rows), found["about"], tuple(data))


def comparison_cells(comparison: MethodComparison | None) -> tuple[Cell, ...]:
    """Format a comparison as four cells: difference with interval, corrected p, detectable difference, verdict."""
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
    """Format a p-value.

    Example:
        >>> p_in_words(0.0312), p_in_words(1e-6)
        ('0.031', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def comparison_data(comparison: MethodComparison | None) -> dict[str, Number]:
    """Return the unformatted values of a comparison by name, as proportions, not points; all None if there is none."""
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
    threads = hardware.get("threads")
    number = counted(threads, "thread") if isinstance(threads, int) else "number of threads unknown"
    return f"{hardware.get('processor', 'processor unknown')}, {number}"
