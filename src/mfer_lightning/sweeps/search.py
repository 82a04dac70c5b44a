"""Search with Optuna: continue a study that was interrupted, and find its best trial."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.records import JobRecord, overrides_as_dict, varied_axes


class Verbatim(Callback):
    """Hand the options that are not searched to each trial as they were written.

    Hydra's Optuna plugin writes each option anew from its parsed value, which ``null`` and nested values do not
    survive. An option that the command line fixes is taken out of the search space.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Move them from what the plugin reads to what every trial is composed with."""
        parser = OverridesParser.create()
        written = list(config.hydra.overrides.task)
        fixed = [o for o in written if not parser.parse_override(o).is_sweep_override()]
        params = dict(config.hydra.sweeper.params or {})
        for override in fixed:
            params.pop(parser.parse_override(override).get_key_element(), None)
        with read_write(config), open_dict(config):
            config.hydra.overrides.task = [o for o in written if o not in fixed]
            config.hydra.overrides.hydra = [*config.hydra.overrides.hydra, *fixed]
            config.hydra.sweeper.params = OmegaConf.create(params)


@dataclass(frozen=True)
class Study:
    """Where a search keeps what it knows.

    Args:
        storage: address that Optuna knows; None: nothing is kept.
        name: of the study.
        direction: ``"maximize"`` or ``"minimize"``.
        wanted: results that it is to hold.
        seed: of the sampler, at the study's first start; None for a sampler without one.
    """

    storage: str | None
    name: str | None
    direction: str
    wanted: int
    seed: int | None


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Args:
        done: trials with a result.
        failed: trials without one, which are over.
        cut: trials that were cut off, and go on first.
        started: all trials so far.
    """

    done: int
    failed: int
    cut: int
    started: int


@dataclass(frozen=True)
class Best:
    """The best trial of a study.

    Args:
        number: its number in the study, from 0; None where no trial has a result.
        value: of the selection metric.
        params: option -> value.
        progress: how far the study is.
        run_dir: the folder of its run; None where it is not in the sweep's folder any more.
    """

    progress: Progress
    number: int | None = None
    value: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    run_dir: Path | None = None


def continue_study(study: Study) -> tuple[Progress, list[str]]:
    """Take up a search's study.

    Returns:
        How far it is, and what Hydra has to be told so that it goes on from there.
    """
    progress = take_up_study(study)
    overrides = [f"hydra.sweeper.n_trials={max(study.wanted - progress.done, 0)}"]
    if study.seed is not None:  # a sampler that begins anew must not propose the same trials again
        overrides.append(f"hydra.sweeper.sampler.seed={study.seed + progress.started}")
    if progress.started:
        cut = f"; {progress.cut} trials that were cut off go on first." if progress.cut else "."
        print(f"The study holds {progress.done} of {study.wanted} results{cut}", flush=True)
    return progress, overrides


def take_up_study(study: Study) -> Progress:
    """Open a study, or make it, and put what was cut off into its queue again.

    Only one process may do so at a time.

    Raises:
        UserError: where the storage cannot be opened.
    """
    if study.storage is None:
        return Progress(0, 0, 0, 0)
    from optuna.trial import TrialState

    stored = _open(study)
    cut = [t for t in stored.trials if t.state is TrialState.RUNNING]
    for trial in cut:
        if trial.params:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "experimental", in all versions that the plugin takes
                stored.enqueue_trial(trial.params)
        stored.tell(trial.number, state=TrialState.FAIL)
    return _progress(stored)


def best_trial(study: Study, records: Sequence[JobRecord], sweep_dir: Path) -> Best:
    """Find the best trial of a study.

    Args:
        study: which.
        records: of this start, whose best trial is the answer where no study is kept.
        sweep_dir: with the runs.
    """
    if study.storage is None:
        return _best_record(records)
    stored = _open(study)
    progress = _progress(stored)
    if progress.done == 0:
        return Best(progress)
    trial = stored.best_trial
    return Best(progress, trial.number, trial.value, trial.params, _run_of(trial.value, trial.params, sweep_dir))


def _best_record(records: Sequence[JobRecord]) -> Best:
    done = sum(r.has_result for r in records)
    found = Best(Progress(done, len(records) - done, 0, len(records)))
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


def _open(study: Study) -> Any:
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    logging.getLogger("hydra_plugins.hydra_optuna_sweeper._impl").setLevel(logging.ERROR)  # failures are said by us
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        return optuna.create_study(
            study_name=study.name, storage=study.storage, direction=study.direction, load_if_exists=True
        )
    except Exception as error:  # of SQLAlchemy, of the database's driver, of Optuna
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"hydra.sweeper.storage={study.storage}: the study cannot be opened ({reason}). Give the address of a "
            "database that can be written to, or begin a study anew with another name=..."
        ) from error


def _progress(study: Any) -> Progress:
    from optuna.trial import TrialState

    states = [t.state for t in study.trials]
    done, queued = states.count(TrialState.COMPLETE), states.count(TrialState.WAITING)
    return Progress(done, states.count(TrialState.FAIL), queued, len(states) - queued)


def _run_of(value: float, params: Mapping[str, Any], sweep_dir: Path) -> Path | None:
    for path in sorted(sweep_dir.glob("*/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found = result["selection"]["value"]
        if found is not None and math.isclose(found, value, rel_tol=1e-6):  # a database may keep fewer digits
            values = {option: _value_of(result["config"], option) for option in params}
            if all(str(values[option]).lower() == str(wanted).lower() for option, wanted in params.items()):
                return path.parent
    return None


def _value_of(config: Mapping[str, Any], option: str) -> Any:
    """A value by its dotted name; of a choice its name."""
    value: Any = config
    for part in option.lstrip("+").split("@")[0].split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value.get("name") if isinstance(value, Mapping) else value
