"""``mfer evaluate``: measure a trained model, or a table of its predictions, on any dataset and split."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from mfer_lightning.config.compose import run_verb
from mfer_lightning.config.path_options import quote_paths
from mfer_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer evaluate``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0, or 1 where one of several evaluations failed.
    """
    rest, options = split_dataset_options(arguments)
    several = any(argument in ("-m", "--multirun") for argument in rest)
    codes = [
        run_verb("evaluate", partial(_evaluate, options=chosen), rest) for chosen in each_combination(options, several)
    ]
    return codes[0] if len(codes) == 1 else int(any(codes))


def _evaluate(config: dict[str, Any], options: Sequence[str]) -> None:
    from mfer_lightning.analysis.run import evaluate

    further = {**config.pop("paths"), **config.pop("evaluation")}
    evaluate(**config, **further, dataset_options=options)


def split_dataset_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the options of the dataset (``dataset.<option>=...``) out of a command line.

    Which options are legal depends on the dataset, which may be named only in the checkpoint: so they are composed
    later. ``dataset=<name>`` becomes ``dataset_name=<name>``: Hydra would read it as the choice of a group, whose
    files also choose a backbone and more, for training.

    Example:
        >>> split_dataset_options(["checkpoint=runs/a", "dataset=rafdb", "dataset.protocol=paper"])
        (['checkpoint=runs/a', 'dataset_name=rafdb'], ['dataset.protocol=paper'])
    """
    rest = [f"dataset_name={a[8:]}" if a.startswith("dataset=") else a for a in arguments]
    return [a for a in rest if not a.startswith("dataset.")], [a for a in rest if a.startswith("dataset.")]


def each_combination(options: Sequence[str], several: bool) -> list[list[str]]:
    """Expand options with several values, as Hydra does with its own.

    Args:
        options: ``dataset.<option>=<value>``, or with comma-separated values.
        several: whether a sweep was asked for (``-m``).

    Returns:
        Options with one value each, one list a combination; a single empty list without options.

    Raises:
        UserError: for several values without a sweep.

    Example:
        >>> each_combination(["dataset.occlusion=0,1", "dataset.protocol=native"], several=True)
        [['dataset.occlusion=0', 'dataset.protocol=native'], ['dataset.occlusion=1', 'dataset.protocol=native']]
    """
    values = []
    options = quote_paths(options, several)
    for option, override in zip(options, OverridesParser.create().parse_overrides(list(options)), strict=True):
        if not override.is_sweep_override():
            values.append([option])
        elif several:
            values.append([f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()])
        else:
            raise UserError(f"{option} names several values: add -m to evaluate each, or quote them as one.")
    return [list(combination) for combination in itertools.product(*values)]
