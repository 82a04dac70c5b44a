"""Connect a run to its search trial: report metrics per epoch, and ask whether to continue."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from mfer_lightning.sweeps.study import Study, build_part, open_study

#: Environment variable with the study and the trial of a run; the other ranks of the run inherit it.
TRIAL = "MFER_TRIAL"

log = logging.getLogger("mfer_lightning")


def described_trial(study: Study | None, number: int) -> str | None:
    """Describe a trial for the environment variable of its run; None if there is no saved study, or no pruning.

    Args:
        study: study of the search; None for a grid.
        number: number of the trial in the study.
    """
    if study is None or study.storage is None or study.pruner is None:
        return None
    return json.dumps({"study": study.to_dict(), "number": number})


def reporter() -> Callable[[int, float], bool] | None:
    """Return the reporting function of this process's trial.

    Returns:
        A function that takes an epoch and its selection metric, and returns whether to prune the trial; None if there
        is no trial. If the study cannot be reached, the trial is not pruned.
    """
    said = os.environ.get(TRIAL)
    if not said:
        return None
    described: Mapping[str, Any] = json.loads(said)
    opened: list[Any] = []

    def report(epoch: int, figure: float) -> bool:
        try:
            if not opened:
                opened.append(_open_trial(Study(**described["study"]), int(described["number"])))
            opened[0].report(figure, epoch)
            return bool(opened[0].should_prune())
        except Exception as error:  # a database error must not stop the run
            log.warning("The study cannot be reached, so the trial is not pruned: %s: %s", type(error).__name__, error)
            return False

    return report


def _open_trial(study: Study, number: int) -> Any:
    import optuna

    stored = open_study(study, pruner=build_part(study.pruner, "pruner"), sampler=optuna.samplers.RandomSampler())
    return optuna.trial.Trial(stored, stored.get_trials(deepcopy=False)[number]._trial_id)
