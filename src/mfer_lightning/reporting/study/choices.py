"""Name the parts of methods by the choices on the command line, if runs store them."""

from __future__ import annotations

from collections.abc import Sequence

from mfer_lightning.config.chosen import RECIPE, kept_choices
from mfer_lightning.reporting.study.axes import Flat
from mfer_lightning.reporting.study.runs import Run


def named_by_choice(runs: Sequence[Run]) -> list[Flat]:
    """Return the configurations of runs with their parts named by the choices on the command line.

    Runs with equal configurations get the same names, even if the choices differ. A run of an earlier version, which
    does not store choices, gets those of a later run of its method.

    Args:
        runs: runs of one section.

    Returns:
        One configuration per run. Equal configurations stay equal, and different ones stay different. ``experiment`` is
        included only if every run has one.
    """
    keys = [tuple(sorted(run.flat.items())) for run in runs]
    kept: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for key, run in zip(keys, runs, strict=True):
        mine = kept.setdefault(key, {})
        for group, choice in kept_choices(run.config).items():
            mine.setdefault(str(group), str(choice))
    recipes = all(RECIPE in kept[key] for key in keys)
    names = {
        key: {f"{group}.name": choice for group, choice in found.items() if f"{group}.name" in dict(key)}
        | ({RECIPE: found[RECIPE]} if recipes else {})
        for key, found in kept.items()
    }
    return [{**run.flat, **names[key]} for key, run in zip(keys, runs, strict=True)]
