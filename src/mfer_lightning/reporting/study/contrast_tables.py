"""Describe planned contrasts in text and tables: the claims and the findings."""

from __future__ import annotations

from collections.abc import Sequence

from mfer_lightning.evaluation.statistics.methods import MIN_SEEDS, MethodMetric
from mfer_lightning.reporting.study.comparisons import measured, points, signed
from mfer_lightning.reporting.study.contrast_plan import Plan
from mfer_lightning.reporting.study.contrasts import Outcome, Planned, chain_outcome
from mfer_lightning.reporting.study.method_tables import comparison_cells, comparison_data, p_in_words
from mfer_lightning.reporting.study.sections import Section
from mfer_lightning.reporting.study.tables import NOTHING, Cell, Column, Number, Table

_ORDER: tuple[Outcome, ...] = ("confirmed", "refuted", "better", "worse", "tie", "undecided")
#: Maximum number of contrasts to describe one by one; in a larger plan, those without a finding share one sentence.
MOST_TOLD = 6
#: Introduction of comparisons that are not in the plan.
NOT_PLANNED = (
    "The following comparisons were not planned. Methods against the baseline, and the method with the highest mean "
    "against all others, are separate families with separate corrections; their findings were not claimed beforehand."
)


def summary(plan: Plan, judged: Sequence[Planned], metric: MethodMetric) -> str:
    """Summarise the outcome of a plan in a section, so that it can be read without the documentation."""
    groups = {outcome: [p.contrast.name for p in judged if p.outcome == outcome] for outcome in _ORDER}
    words = ", ".join(f"{len(names)} {outcome} ({', '.join(names)})" for outcome, names in groups.items() if names)
    several = len(judged) > 1
    these = f"These {len(judged)} comparisons of methods are" if several else "This comparison of two methods is"
    chosen = "" if plan.metric else ", which the file does not specify"
    told = f"Planned contrasts: {words}. {these} planned in {plan.path.name}{_families(plan)}. The metric is "
    told += f"{metric_in_words(metric)}{chosen}."
    if not several:
        return told
    family = "within their families" if len(plan.families) > 1 else f"over these {len(judged)} only"
    return f"{told} The p-values are Holm-corrected {family}."


def sentences(plan: Plan, judged: Sequence[Planned]) -> list[str]:
    """Describe the outcome of each contrast and chain; many contrasts without a finding share one sentence."""
    several = len(plan.families) > 1
    shown = [p for p in judged if p.outcome not in ("tie", "undecided")]
    told = []
    for p in judged if len(judged) <= MOST_TOLD else shown:
        family = f" ({p.contrast.family or 'without a family'})" if several else ""
        told.append(f"Planned{family}, {p.contrast.name}: {p.outcome}. {_grounds(p)}")
    rest = [p for p in judged if p not in shown]
    if len(judged) > MOST_TOLD and rest:
        told.append(f"Planned, no difference shown: {'; '.join(map(_briefly, rest))}.")
    by_name = {p.contrast.name: p for p in judged}
    for chain in plan.chains:
        outcome = chain_outcome(chain, judged)
        parts = ", ".join(f"{name} {by_name[name].outcome}" for name in chain.contrasts)
        reached = " at the achieved power" if outcome == "undecided" else ""
        told.append(f"Planned chain, {chain.name}: {outcome}{reached} ({parts}).")
    return told


def contrast_table(plan: Plan, section: Section, judged: Sequence[Planned], metric: MethodMetric) -> Table:
    """Return the table of contrasts with their comparisons and the outcomes of the claims."""
    several = len(plan.families) > 1
    columns = (
        Column("contrast"),
        *([Column("family", about="corrected together")] if several else []),
        Column("method"),
        Column("against"),
        Column("seeds", numeric=True, about="of the method and of the method it is compared with"),
        Column("difference", numeric=True, about="method minus the other in points, 95% interval over seeds and faces"),
        Column("p (Holm)", numeric=True, about="corrected for the planned contrasts of the family only"),
        Column(
            "detectable",
            numeric=True,
            about="true difference in points that is detected with 80% power, with this correction",
        ),
        Column("verdict", about="at 5%, Holm-corrected over the planned contrasts of the family"),
        Column("claim", about="the claim made beforehand, and its outcome"),
    )
    rows, data = [], []
    for p in judged:
        c, claim = p.comparison, p.contrast.claim
        seeds = f"{p.method.seeds} / {p.against.seeds}"
        kind = c.verdict if c is not None and c.verdict in ("better", "worse") else "undecided"
        rows.append(
            (
                Cell(p.contrast.name),
                *([Cell(p.contrast.family or NOTHING, kind="quiet")] if several else []),
                Cell(p.method.short, kind="quiet"),
                Cell(p.against.short, kind="quiet"),
                Cell(seeds, min(p.method.seeds, p.against.seeds)),
                *comparison_cells(c),
                Cell(NOTHING) if claim is None else Cell(f"{_claimed(claim)}: {p.outcome}", kind=kind),
            )
        )
        named: dict[str, Number] = {
            "family": p.contrast.family,
            "contrast": p.contrast.name,
            "method": p.method.label,
            "against": p.against.label,
            "metric": metric,
            "seeds_method": p.method.seeds,
            "seeds_against": p.against.seeds,
        }
        data.append(named | comparison_data(c) | {"claim": claim, "outcome": p.outcome})
    caption = (
        f"The contrasts of {plan.path.name} (sha256 {plan.sha256[:12]}...). Methods are named by "
        f"{', '.join(axis.title for axis in section.axes)}. p-values, verdicts and detectable differences are "
        f"corrected for these contrasts only{', within each family' if several else ''}; intervals are uncorrected. A "
        "claim is confirmed by a significant difference as claimed, refuted by a significant difference that "
        "contradicts it, and otherwise undecided. "
        f"A contrast with fewer than {MIN_SEEDS} seeds of either method is undecided, but still counts in the "
        "correction."
    )
    return Table(
        "contrasts", f"Planned contrasts, by {metric_in_words(metric)}", columns, tuple(rows), caption, tuple(data)
    )


def chain_table(plan: Plan, judged: Sequence[Planned]) -> Table | None:
    """Return the table of chains with their contrasts; None if there are no chains."""
    if not plan.chains:
        return None
    by_name = {p.contrast.name: p.outcome for p in judged}
    rows = []
    for chain in plan.chains:
        parts = ", ".join(f"{name} {by_name[name]}" for name in chain.contrasts)
        rows.append((Cell(chain.name), Cell(parts, kind="quiet"), Cell(chain_outcome(chain, judged))))
    caption = "A chain is confirmed if all contrasts are, refuted if any is, else undecided at the achieved power."
    columns = (Column("chain"), Column("contrasts"), Column("claim"))
    return Table("chains", "Chains of planned contrasts", columns, tuple(rows), caption)


def facts(plan: Plan, where: str) -> str:
    """Return the path and SHA-256 of the plan, so that it can be compared with the registered plan."""
    return f"{where}, sha256 {plan.sha256}{_families(plan)}"


def in_figure(planned: Planned) -> str:
    """Format the verdict and the outcome of the claim."""
    comparison, claim = planned.comparison, planned.contrast.claim
    if comparison is None:
        return "undecided: no predictions"
    words = comparison.verdict + ("" if claim is None else f", claim {planned.outcome}")
    if comparison.verdict == "undecided":
        return "undecided: too few seeds"
    if planned.outcome in ("tie", "undecided") and comparison.smallest_detectable is not None:
        words += f"; {points(comparison.smallest_detectable)} points detectable"
    return words


def metric_in_words(metric: MethodMetric) -> str:
    """Return the name of a metric in words."""
    return metric.replace("mean_class_", "mean-class ")


def _families(plan: Plan) -> str:
    """Name the only family, if it has a name, or list several families with their numbers of contrasts."""
    if len(plan.families) > 1:
        return ", families " + ", ".join(f"{name or 'without a name'} ({n})" for name, n in plan.families.items())
    family = next(iter(plan.families))
    return f", family {family}" if family else ""


def _claimed(claim: str) -> str:
    return "no difference" if claim == "none" else claim


def _grounds(p: Planned) -> str:
    """Describe the evidence for an outcome."""
    comparison, claim = p.comparison, p.contrast.claim
    claimed = [] if claim is None else [f"claimed {_claimed(claim)}"]
    if comparison is None:
        missing = [m.label for m in (p.method, p.against) if all(run.table is None for run in m.runs)]
        what = (
            f"there are no predictions of {' and '.join(missing)}"
            if missing
            else "the runs were not measured on the same faces"
        )
        return f"No comparison could be made: {what}{_in_brackets(claimed)}."
    if comparison.verdict == "undecided":
        seeds = f"{p.method.label} has {comparison.seeds_a}, {p.against.label} has {comparison.seeds_b}"
        return f"Too few seeds: {seeds}, and at least {MIN_SEEDS} each are needed{_in_brackets(claimed)}."
    adjusted = comparison.adjusted_p_value
    p_value = "" if adjusted is None else p_in_words(adjusted)
    p_value = p_value if p_value.startswith("<") else f"= {p_value}"
    figures = _in_brackets([*claimed, f"{measured(comparison)}, p {p_value}"])
    if comparison.verdict != "tie":
        return f"{p.method.label} is {comparison.verdict} than {p.against.label}{figures}."
    words = f"No difference between {p.method.label} and {p.against.label} could be shown{figures}"
    if comparison.smallest_detectable is None:
        return f"{words}: all seeds of both classify the same faces correctly."
    seen = points(comparison.smallest_detectable)
    return f"{words}; a true difference of {seen} points would have been detected with 80% power."


def _briefly(p: Planned) -> str:
    comparison = p.comparison
    if comparison is None or comparison.smallest_detectable is None:
        return f"{p.contrast.name} (nothing to compare, too few seeds, or all seeds correct on the same faces)"
    return f"{p.contrast.name} ({signed(comparison.difference)}, {points(comparison.smallest_detectable)} detectable)"


def _in_brackets(parts: Sequence[str]) -> str:
    return f" ({'; '.join(parts)})" if parts else ""
