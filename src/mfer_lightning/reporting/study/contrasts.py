"""Apply planned contrasts to a section: find and compare their methods, and evaluate the claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mfer_lightning.errors import UserError, nearest
from mfer_lightning.evaluation.statistics import MethodComparison, compare_contrasts
from mfer_lightning.evaluation.statistics.methods import MethodMetric
from mfer_lightning.reporting.study.axes import ABSENT, TITLES, as_number, title_of
from mfer_lightning.reporting.study.comparisons import right_answers
from mfer_lightning.reporting.study.contrast_plan import Chain, Contrast, Plan, Selector, told
from mfer_lightning.reporting.study.sections import Method, Section

#: Outcome of a claim, or, if nothing was claimed, the finding.
Outcome = Literal["confirmed", "refuted", "better", "worse", "tie", "undecided"]

#: Maximum number of methods to name in a message.
MOST_METHODS = 12
_KEYS = {title: key for key, title in TITLES.items()}


@dataclass(frozen=True, eq=False)
class Planned:
    """A contrast of the plan with the two methods of a section to which it refers.

    Args:
        contrast: the contrast.
        method: the first method.
        against: the second method.
        comparison: first against second, Holm-corrected over the contrast's family; None if predictions are missing.
    """

    contrast: Contrast
    method: Method
    against: Method
    comparison: MethodComparison | None = None

    @property
    def outcome(self) -> Outcome:
        """Outcome of the claim."""
        verdict = "undecided" if self.comparison is None else self.comparison.verdict
        claim = self.contrast.claim
        if claim is None:
            return verdict
        if verdict in ("tie", "undecided"):  # even for a claim of no difference, which a tie does not prove
            return "undecided"
        return "confirmed" if verdict == claim else "refuted"


def place_contrasts(plan: Plan, sections: Sequence[Section]) -> list[tuple[Planned, ...]]:
    """Find in each section the methods to which a plan refers.

    Args:
        plan: the planned contrasts.
        sections: sections of the report; a note is added to those to which the plan does not apply, and to the others
            if there are several.

    Returns:
        The contrasts of each section, not compared yet; empty if the plan does not apply to the section.

    Raises:
        UserError: if the plan does not apply to any section.
    """
    placed: list[tuple[Planned, ...]] = []
    reasons: dict[str, str] = {}
    for section in sections:
        try:
            placed.append(_placed(plan, section))
        except UserError as error:
            placed.append(())
            reasons[section.title] = str(error)
    if not any(placed):
        words = [f"{title}: {reason}" if len(sections) > 1 else reason for title, reason in reasons.items()]
        more = f" (and {len(words) - 3} more)" if len(words) > 3 else ""
        raise UserError(f"{plan.path}: {' '.join(words[:3])}{more}")
    several = [section.title for section, found in zip(sections, placed, strict=True) if found]
    shown = "; ".join([*several[:3], *(["..."] if len(several) > 3 else [])])
    for section in sections:
        if section.title in reasons:
            section.notes.append(f"The planned contrasts do not apply here: {reasons[section.title]}")
        elif len(several) > 1:
            section.notes.append(
                f"The planned contrasts are evaluated in {len(several)} sections, each corrected separately ({shown}), "
                "so each claim is tested several times. If their file does not name a `protocol`, add one."
            )
    return placed


def judge(section: Section, placed: Sequence[Planned], metric: MethodMetric) -> tuple[Planned, ...]:
    """Compare the methods of a section's contrasts, corrected only over the contrasts of the same family.

    Args:
        section: the section; a note is added if its runs were not measured on the same faces.
        placed: result of :func:`place_contrasts`.
        metric: the compared metric.

    Returns:
        The contrasts with their comparisons, if both methods have predictions.
    """
    found = right_answers(section)
    if found is None:
        return tuple(placed)
    correct, labels = found
    there = [p for p in placed if p.method.label in correct and p.against.label in correct]
    compared: dict[Planned, MethodComparison] = {}
    for family in dict.fromkeys(p.contrast.family for p in there):
        members = [p for p in there if p.contrast.family == family]
        pairs = [(p.method.label, p.against.label) for p in members]
        size = sum(p.contrast.family == family for p in placed)  # the planned number, even if some cannot be compared
        compared |= dict(zip(members, compare_contrasts(correct, pairs, labels, metric, family=size), strict=True))
    return tuple(replace(p, comparison=compared.get(p)) for p in placed)


def chain_outcome(chain: Chain, judged: Sequence[Planned]) -> Outcome:
    """Return the outcome of a chain: confirmed if all its claims are, refuted if any is, else undecided."""
    found = [planned.outcome for planned in judged if planned.contrast.name in chain.contrasts]
    if "refuted" in found:
        return "refuted"
    return "confirmed" if all(outcome == "confirmed" for outcome in found) else "undecided"


def _placed(plan: Plan, section: Section) -> tuple[Planned, ...]:
    """Find the methods of all contrasts; if the plan names a protocol, reject other protocols and results on val."""
    if plan.protocol is not None and (section.protocol != plan.protocol or section.marked):
        raise UserError(
            f"the contrasts were planned for {plan.protocol}, test, but this is {section.protocol}, {section.split}."
        )
    found: list[Planned] = []
    for contrast in plan.contrasts:
        method, against = (
            _method(section, contrast.name, side, selector)
            for side, selector in (("method", contrast.method), ("against", contrast.against))
        )
        if method is against:
            raise UserError(f"contrast '{contrast.name}' compares a method with itself, {method.label}.")
        same = next((p for p in found if {p.method, p.against} == {method, against}), None)
        if same is not None:
            raise UserError(
                f"contrasts '{same.contrast.name}' and '{contrast.name}' compare the same two methods, "
                f"{method.label} and {against.label}."
            )
        found.append(Planned(contrast, method, against))
    return tuple(found)


def _method(section: Section, name: str, side: str, selector: Selector) -> Method:
    """Find the one method with all the values; training runs take precedence over their later evaluations."""
    where = f"contrast '{name}': `{side}` {told(selector)}"
    for option in selector:
        if all(_value(method, option) is None for method in section.methods):
            raise UserError(f"{where}: the runs have no option {option}: {nearest(option, _options(section))}")
    found = [m for m in section.methods if all(_has(m, option, value) for option, value in selector.items())]
    trained = [m for m in found if any(run.trained for run in m.runs)]
    found = trained if len(trained) == 1 else found
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{where} matches {len(found)} methods: {_named(found)}. Add options until it matches one.")
    foreign = [f"{k}={v}" for k, v in selector.items() if not any(_has(m, k, v) for m in section.methods)]
    why = f" (no method has {', '.join(foreign)})" if foreign else ""
    raise UserError(f"{where} matches no method{why}. The methods are: {_named(section.methods)}.")


def _value(method: Method, option: str) -> str | None:
    """Return a method's value of an option, by its title or dotted name; None if it has no such option."""
    flat = method.flat
    keys = (option, _KEYS.get(option, option), f"{option}.name")
    return next((flat[key] for key in keys if key in flat), None)


def _has(method: Method, option: str, wanted: str) -> bool:
    found = _value(method, option)
    value = ABSENT if found is None else found
    return value == wanted or (as_number(value) == as_number(wanted) is not None)  # 1e-3 is text in YAML


def _options(section: Section) -> list[str]:
    """Return the options by familiar names: first the axes, then other well-known options."""
    flat = section.methods[0].flat
    return list(dict.fromkeys([*(a.title for a in section.axes), *(title_of(k) for k in TITLES if k in flat)]))


def _named(methods: Sequence[Method]) -> str:
    more = f"; and {len(methods) - MOST_METHODS} more" if len(methods) > MOST_METHODS else ""
    return "; ".join(method.label for method in methods[:MOST_METHODS]) + more
