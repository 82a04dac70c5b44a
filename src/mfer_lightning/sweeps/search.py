"""Search with Optuna: continue an interrupted study, and find its best trial."""

from __future__ import annotations

import json
import math
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfer_lightning.plurals import counted
from mfer_lightning.sweeps.records import JobRecord, overrides_as_dict, varied_axes
from mfer_lightning.sweeps.study import Study, open_study

#: Attribute of a trial: the machine and process that run it.
OWNER = "owner"


@dataclass(frozen=True)
class Progress:
    """Progress of a study.

    Args:
        done: number of trials with a result, including pruned trials.
        failed: number of trials that ended without a result, including interrupted trials.
        cut: number of interrupted trials, which are repeated first.
        started: number of trials started so far.
        pruned: number of pruned trials, which are included in ``done``.
        running: number of running trials, here or elsewhere.
    """

    done: int
    failed: int
    cut: int
    started: int
    pruned: int = 0
    running: int = 0


@dataclass(frozen=True)
class Best:
    """The best trial of a study.

    Args:
        number: number of the trial in the study, from 0; None if no trial has a result.
        value: value of the selection metric.
        params: option -> value.
        progress: progress of the study.
        run_dir: folder of the trial's run; None if it is no longer in the sweep's folder.
    """

    progress: Progress
    number: int | None = None
    value: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    run_dir: Path | None = None


def continue_study(study: Study) -> Progress:
    """Open the study of a search, and report its progress."""
    progress = take_up_study(study)
    if progress.started:
        cut = f"; {progress.cut} interrupted, to be repeated first" if progress.cut else ""
        elsewhere = f"; {progress.running} running elsewhere" if progress.running else ""
        print(f"The study has {progress.done} of {counted(study.wanted, 'result')}{cut}{elsewhere}.", flush=True)
    return progress


def take_up_study(study: Study) -> Progress:
    """Open or create a study, and requeue its interrupted trials.

    A trial is interrupted if its process on this machine is gone, or if it runs on another machine without a heartbeat
    for :data:`~mfer_lightning.sweeps.study.SILENCE` seconds.

    Raises:
        UserError: if the storage cannot be opened, or the study was started with the other direction.
    """
    if study.storage is None:
        return Progress(0, 0, 0, 0)
    import optuna

    stored = open_study(study)
    for trial in stored.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        if not _under_way(trial.user_attrs.get(OWNER)):
            with suppress(ValueError):  # another process was faster
                stored.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                if trial.params:
                    stored.enqueue_trial(trial.params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's ExperimentalWarning
        optuna.storages.fail_stale_trials(stored)
    return progress_of(stored)


def _under_way(owner: str | None) -> bool:
    """Whether a trial's process may still be running: checked on this machine, assumed on others."""
    if not owner:
        return False
    host, _, process = owner.rpartition(" ")
    if host != platform.node():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()


def best_trial(study: Study, records: Sequence[JobRecord], sweep_dir: Path) -> Best:
    """Return the best trial of a study.

    Args:
        study: the study.
        records: records of this invocation's jobs, used if the study is not saved.
        sweep_dir: folder with the runs.
    """
    if study.storage is None:
        return _best_record(records)
    stored = open_study(study)
    progress = progress_of(stored)
    if progress.done == progress.pruned:
        return Best(progress)
    trial = stored.best_trial
    return Best(progress, trial.number, trial.value, trial.params, _run_of(trial.value, trial.params, sweep_dir))


def _best_record(records: Sequence[JobRecord]) -> Best:
    done, pruned = sum(r.has_result for r in records), sum(r.status == "pruned" for r in records)
    found = Best(Progress(done + pruned, len(records) - done - pruned, 0, len(records), pruned))
    axes = varied_axes(records)
    for record in records:
        path = Path(record.run_dir) / "result.json"
        if not record.has_result or not path.is_file():
            continue
        value = json.loads(path.read_text(encoding="utf-8"))["selection"]["value"]
        if value is not None and (found.value is None or value > found.value):
            given = overrides_as_dict(record.overrides)
            params = {axis: given[axis] for axis in axes if axis in given}
            found = Best(found.progress, record.number, value, params, path.parent)
    return found


def progress_of(study: Any) -> Progress:
    """Count the trials of an Optuna study."""
    from optuna.trial import TrialState

    states = [t.state for t in study.get_trials(deepcopy=False)]
    pruned, queued = states.count(TrialState.PRUNED), states.count(TrialState.WAITING)
    return Progress(
        states.count(TrialState.COMPLETE) + pruned,
        states.count(TrialState.FAIL),
        queued,
        len(states) - queued,
        pruned,
        states.count(TrialState.RUNNING),
    )


def _run_of(value: float, params: Mapping[str, Any], sweep_dir: Path) -> Path | None:
    for path in sorted(sweep_dir.glob("*/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found = result["selection"]["value"]
        if found is not None and math.isclose(found, value, rel_tol=1e-6):  # a database may store fewer digits
            values = {option: _value_of(result["config"], option) for option in params}
            if all(str(values[option]).lower() == str(wanted).lower() for option, wanted in params.items()):
                return path.parent
    return None


def _value_of(config: Mapping[str, Any], option: str) -> Any:
    """Return a value by its dotted name; for a choice, its name."""
    value: Any = config
    for part in option.lstrip("+").split("@")[0].split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value.get("name") if isinstance(value, Mapping) else value
