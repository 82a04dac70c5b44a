"""Run a command for each combination of options that are not part of its own configuration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

from hydra.core.override_parser.overrides_parser import OverridesParser

from mfer_lightning.config.compose import run_verb
from mfer_lightning.config.flags import split_flags, wants_sweep
from mfer_lightning.config.messages import readable
from mfer_lightning.config.path_options import quote_paths
from mfer_lightning.errors import UserError


def run_each(
    verb: str,
    job: Callable[..., int | None],
    arguments: Sequence[str],
    options: Sequence[str],
) -> int:
    """Run a command once for each combination of options that are not part of its own configuration.

    As in every sweep, the error of a rejected combination is printed, and the others still run.

    Args:
        verb: name of the command.
        job: function of the configuration of the command, and of one combination as ``options``.
        arguments: the command-line arguments after the command, without these options.
        options: ``<option>=<value>``; with ``-m``, values may be comma-separated lists.

    Returns:
        Exit code: that of :func:`run_verb` for a single combination, or 1 if any of several failed.

    Raises:
        UserError: for errors that the user can correct, except within a sweep.
    """
    chosen = each_combination(options, wants_sweep(*split_flags(arguments, verb)))
    codes = [run_verb(verb, partial(job, options=one), arguments) for one in chosen]
    return codes[0] if len(codes) == 1 else int(any(codes))


def each_combination(options: Sequence[str], several: bool) -> list[list[str]]:
    """Expand options with several values, as Hydra does with its own options.

    Args:
        options: ``<option>=<value>``, possibly with comma-separated values.
        several: whether a sweep was requested (``-m``).

    Returns:
        One list per combination, with one value per option; a single empty list without options.

    Raises:
        UserError: for several values without a sweep, and for syntax errors in Hydra's grammar.

    Example:
        >>> each_combination(["dataset.occlusion=0,1", "dataset.protocol=native"], several=True)
        [['dataset.occlusion=0', 'dataset.protocol=native'], ['dataset.occlusion=1', 'dataset.protocol=native']]
    """
    values = []
    options = quote_paths(options, several)
    with readable(overrides=options):
        for option, override in zip(options, OverridesParser.create().parse_overrides(options), strict=True):
            key = option.partition("=")[0]
            if not override.is_sweep_override():
                values.append([option])
            elif several:
                values.append([f"{key}={value}" for value in override.sweep_string_iterator()])
            else:
                raise UserError(f"{option} has several values: add -m to run each of them, or quote them as one value.")
    return [list(combination) for combination in itertools.product(*values)]
