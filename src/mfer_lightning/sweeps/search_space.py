"""Parse a search space from Hydra overrides: ``interval``, ``range`` and ``choice``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer

from mfer_lightning.errors import UserError


def split_overrides(params: Mapping[str, Any], arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Separate searched options from fixed overrides.

    Args:
        params: option -> its values in the configuration; options set in ``arguments`` are ignored.
        arguments: command-line overrides.

    Returns:
        Option -> Optuna's distribution, and the fixed overrides.

    Raises:
        UserError: for a value that Optuna cannot search.
    """
    parser = OverridesParser.create()
    given = parser.parse_overrides(list(arguments))
    named = {override.get_key_element() for override in given}
    more = parser.parse_overrides([f"{key}={value}" for key, value in params.items() if key not in named])
    fixed = [o.input_line or "" for o in (*more, *given) if not o.is_sweep_override()]
    return {o.get_key_element(): _distribution(o) for o in (*more, *given) if o.is_sweep_override()}, fixed


def _distribution(override: Override) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, ChoiceSweep) or (isinstance(value, RangeSweep) and value.shuffle):
        return CategoricalDistribution(list(override.sweep_iterator(transformer=Transformer.encode)))
    try:
        if isinstance(value, RangeSweep):  # including its end, as in Hydra's Optuna plugin
            low, high, step = value.start, value.stop, value.step
            kind = IntDistribution if all(isinstance(v, int) for v in (low, high, step)) else FloatDistribution
            return kind(low, high, step=step)
        assert isinstance(value, IntervalSweep)
        low, high, log = value.start, value.end, "log" in value.tags
        kind = IntDistribution if all(isinstance(v, int) for v in (low, high)) else FloatDistribution
        return kind(low, high, log=log)
    except ValueError as error:
        raise UserError(f"{override.input_line}: {error}") from error


def suggest(trial: Any, option: str, distribution: Any) -> Any:
    """Ask a trial for the value of an option.

    Raises:
        UserError: if earlier trials of the study had other choices for the option, which Optuna does not support.
    """
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        try:
            return trial.suggest_categorical(option, distribution.choices)
        except ValueError as error:
            raise UserError(
                f"{option}: earlier trials of the study had other choices. Start a new study with another name=... "
                "(with your own hydra.sweeper.storage: another hydra.sweeper.study_name=...)."
            ) from error
    of_kind = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    step = {} if distribution.step is None else {"step": distribution.step}
    return of_kind(option, distribution.low, distribution.high, log=distribution.log, **step)


def grid_of(space: Mapping[str, Any]) -> dict[str, list[Any]]:
    """List the values of each option, for a grid search.

    Raises:
        UserError: for an option without finitely many values.
    """
    from optuna.distributions import CategoricalDistribution

    found = {}
    for option, axis in space.items():
        if isinstance(axis, CategoricalDistribution):
            found[option] = list(axis.choices)
        elif axis.step is None:
            raise UserError(
                f"{option}: sampler=grid needs choice(...) or range(a,b,step), which have finitely many values."
            )
        else:
            steps = int((axis.high - axis.low) / axis.step + 1e-9) + 1
            found[option] = [axis.low + i * axis.step for i in range(steps)]
    return found


def written(value: Any) -> str:
    """Format a value in Hydra's grammar."""
    return "null" if value is None else str(value)
