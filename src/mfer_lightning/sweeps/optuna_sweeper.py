"""Search with Optuna: ask for trials, run them, and report their results.

hydra-optuna-sweeper does the same but needs Optuna 2, whereas this package needs Optuna 4 or later. It waits for all
trials of a batch, does not prune, and supports only one process per study. The option names are the same.
"""

from __future__ import annotations

import os
import platform
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from math import prod
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted
from mfer_lightning.sweeps.records import read_record
from mfer_lightning.sweeps.search import OWNER, progress_of
from mfer_lightning.sweeps.search_space import grid_of, split_overrides, suggest, written
from mfer_lightning.sweeps.study import HEARTBEAT, Study, build_part, open_study

#: Samplers whose draws depend only on their seed and the study. Each trial gets its own seed, so that several processes
#: draw different values, and an interrupted study continues with the values that it would have drawn.
_SEEDED = ("TPESampler", "RandomSampler")


class Search(Sweeper):
    """Run the trials of a study with any launcher, several in parallel if possible.

    Args:
        sampler: ``_target_`` and arguments of a sampler in ``optuna.samplers``.
        pruner: ``_target_`` and arguments of a pruner in ``optuna.pruners``; None: no pruning.
        direction: ``"maximize"`` or ``"minimize"``.
        storage: URL of a database; None: the study is not saved.
        study_name: name of the study in the database.
        n_trials: total number of results in the study.
        n_jobs: parallel trials; None: as many as the launcher supports.
        max_failure_rate: fraction of the trials of this invocation that may fail before the search stops.
        params: option -> the values to search.
    """

    def __init__(
        self,
        sampler: Mapping[str, Any],
        pruner: Mapping[str, Any] | None,
        direction: str,
        storage: str | None,
        study_name: str,
        n_trials: int,
        n_jobs: int | None,
        max_failure_rate: float,
        params: Mapping[str, str] | None,
    ) -> None:
        self._sampler, self._params = _plain(sampler), _plain(params or {})
        seed = self._sampler.get("seed")
        found = None if pruner is None else _plain(pruner)
        self._study = Study(storage, study_name, direction, n_trials, None if seed is None else int(seed), found)
        self._n_jobs, self._most_failures = n_jobs, max_failure_rate
        self._failed = self._ended = 0

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store Hydra's information about the sweep."""
        self._folder, self._options = Path(str(config.hydra.sweep.dir)), config.hydra.launcher
        self._launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials the study still needs, counting those of other processes; failed trials are not replaced."""
        space, fixed = split_overrides(self._params, arguments)
        grid = grid_of(space) if self._sampler["_target_"].endswith("GridSampler") else {}
        sampler = build_part(self._sampler, "sampler", search_space=grid)
        study = open_study(self._study, sampler=sampler, pruner=build_part(self._study.pruner, "pruner"))
        wanted = min(self._study.wanted, prod(map(len, grid.values()))) if grid else self._study.wanted
        left = wanted - progress_of(study).done
        running: dict[int, Any] = {}
        with self._opened(), _heartbeats(study, running):
            at_a_time = self._at_a_time()
            while left > 0 or running:
                batch = []
                while left > 0 and len(running) < at_a_time:
                    now = progress_of(study)
                    if now.done + now.running >= wanted:  # other processes run the remaining trials
                        left = 0
                        break
                    trial = self._ask(study)
                    running[trial.number] = trial
                    batch.append((trial, [*fixed, *(f"{k}={written(suggest(trial, k, d))}" for k, d in space.items())]))
                    left -= 1
                for number, value in self._run(batch, bool(running)):
                    self._tell(study, running.pop(number), value)

    def _ask(self, study: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # heartbeats come from _heartbeats, not from Study.optimize
            trial = study.ask()
        trial.set_user_attr(OWNER, f"{platform.node()} {os.getpid()}")
        if self._study.seed is not None and self._sampler["_target_"].rpartition(".")[2] in _SEEDED:
            study.sampler = build_part({**self._sampler, "seed": self._study.seed + trial.number}, "sampler")
        return trial

    def _run(self, batch: Sequence[tuple[Any, list[str]]], any_running: bool) -> list[tuple[int, Any]]:
        """Start trials, and return the number and value of each that has ended (None for a trial without a value)."""
        if hasattr(self._launcher, "ended"):  # one at a time: a free GPU gets the next trial
            for trial, overrides in batch:
                self._launcher.start(overrides, trial.number)
            ended = self._launcher.ended() if any_running else {}
            return [(number, job.return_value) for number, job in ended.items()]
        found = []
        for group in _of_successive_numbers(batch):
            jobs = self._launcher.launch([overrides for _, overrides in group], initial_job_idx=group[0][0].number)
            found += [(trial.number, job.return_value) for (trial, _), job in zip(group, jobs, strict=True)]
        return found

    def _tell(self, study: Any, trial: Any, value: Any) -> None:
        from optuna.trial import TrialState

        self._ended += 1
        if value is not None:
            self._finish(study, trial, float(value))
        elif (record := read_record(self._folder, trial.number)) is not None and record.status == "pruned":
            self._finish(study, trial, state=TrialState.PRUNED)
        else:
            self._failed += 1
            self._finish(study, trial, state=TrialState.FAIL)
            if self._failed / self._ended > self._most_failures:
                raise UserError(
                    f"Failed: {self._failed} of {counted(self._ended, 'trial')}, more than "
                    "hydra.sweeper.max_failure_rate="
                    f"{self._most_failures:g} allows."
                )

    def _finish(self, study: Any, trial: Any, value: float | None = None, state: Any = None) -> None:
        with suppress(RuntimeError):  # raised by the grid sampler after its last trial, when it tries to stop the study
            study.tell(trial, value, state=state)

    def _opened(self) -> Any:
        return self._launcher.opened() if hasattr(self._launcher, "opened") else nullcontext()

    def _at_a_time(self) -> int:
        if self._n_jobs is not None:
            return self._n_jobs
        if hasattr(self._launcher, "at_a_time"):
            return int(self._launcher.at_a_time())
        of_joblib = int(self._options.get("n_jobs") or 1)
        return of_joblib if of_joblib > 0 else os.cpu_count() or 1


def _plain(node: Any) -> dict[str, Any]:
    found = OmegaConf.to_container(OmegaConf.create(dict(node)), resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _of_successive_numbers(batch: Sequence[tuple[Any, list[str]]]) -> list[list[tuple[Any, list[str]]]]:
    """Split a batch where another process took a number in between, because launchers number jobs consecutively."""
    groups: list[list[tuple[Any, list[str]]]] = []
    for item in batch:
        if groups and groups[-1][-1][0].number + 1 == item[0].number:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


@contextmanager
def _heartbeats(study: Any, running: Mapping[int, Any]) -> Iterator[None]:
    """Record regular heartbeats for the trials of this process."""
    storage, over = study._storage, threading.Event()

    def beat() -> None:
        while not over.is_set():
            for trial in list(running.values()):
                with suppress(Exception):  # the database may be unavailable for a moment
                    storage.record_heartbeat(trial._trial_id)
            over.wait(HEARTBEAT if running else 1)

    if not hasattr(storage, "record_heartbeat"):  # in memory
        yield
        return
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)
