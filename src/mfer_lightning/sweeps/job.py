"""Run one job of a sweep, in this process or another one, and record the outcome."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mfer_lightning.config.compose import FULL_ERROR, to_plain
from mfer_lightning.config.environment import restored
from mfer_lightning.config.resolvers import register_resolvers
from mfer_lightning.errors import TrialPrunedError, UserError
from mfer_lightning.sweeps.isolation import isolated_job, output_to
from mfer_lightning.sweeps.records import TOKEN, JobRecord
from mfer_lightning.sweeps.study import Study
from mfer_lightning.sweeps.trial import TRIAL, described_trial

#: A job: takes configuration, parent folder and whether it is part of a sweep; returns score, folder, and whether it
#: ran.
Job = Callable[[dict[str, Any], Path, bool], tuple[float | None, Path, bool]]


@dataclass
class SweepTask:
    """The task that Hydra calls for each job of a sweep, in this process or another one.

    Args:
        job: the job function.
        folder: folder of the sweep.
        flags: flags of the command line, without ``-m``.
        study: study of a search, in which job n runs trial n; None for a grid.
    """

    job: Job
    folder: Path
    flags: tuple[str, ...]
    study: Study | None = None
    token: str = field(default_factory=lambda: os.environ.get(TOKEN, ""))
    full_error: str = field(default_factory=lambda: os.environ.get(FULL_ERROR, ""))
    process: int = field(default_factory=os.getpid)

    def __call__(self, cfg: DictConfig) -> float | None:
        """Run one job; a failure is recorded and does not stop the others.

        A search treats None as a failure, unless the trial is recorded as pruned.
        """
        settings = HydraConfig.get()
        number, overrides = int(settings.job.num), tuple(settings.overrides.task)
        elsewhere = os.getpid() != self.process
        os.environ[TOKEN], os.environ[FULL_ERROR] = self.token, self.full_error
        register_resolvers()  # nothing has been composed yet in another process
        log = self.folder / "jobs" / f"{number:04d}.log"
        print(f"\n--- job {number}: {' '.join(overrides)}{f' (output: {log})' if elsewhere else ''}", flush=True)
        if elsewhere:
            from mfer_lightning.sweeps.ranks import is_first_rank

            writes = is_first_rank()
        else:
            writes = True
        with output_to(log) if elsewhere else nullcontext():
            place = {"host": platform.node(), "cards": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
            record, score = self._run(cfg, JobRecord(number, overrides, "running", str(self.folder), **place), writes)
        if elsewhere:
            print(f"--- job {number} {record.status}{f': {record.error}' if record.error else ''}", flush=True)
        return score

    def _run(self, cfg: DictConfig, record: JobRecord, writes: bool) -> tuple[JobRecord, float | None]:
        def end(status: Any, folder: Path, error: str | None = None) -> JobRecord:
            ended = replace(record, status=status, run_dir=str(folder), error=error)
            if writes:
                ended.write(self.folder)
            return ended

        if writes:
            record.write(self.folder)
        try:
            with isolated_job(record.overrides, self.flags), restored(TRIAL):
                if (trial := described_trial(self.study, record.number)) is not None:
                    os.environ[TRIAL] = trial
                score, folder, new = self.job(to_plain(cfg), self.folder, True)
            return end("done" if new else "skipped", folder), score
        except KeyboardInterrupt:
            end("failed", self.folder, "interrupted")
            raise
        except SystemExit as stop:  # SIGTERM
            if os.getpid() == self.process or "SUBMITIT_FOLDER" in os.environ:
                raise  # submitit may requeue the job
            return end("failed", self.folder, f"stopped (exit code {stop.code}); the same command continues it"), None
        except TrialPrunedError as stop:
            print(str(stop), flush=True)
            return end("pruned", self.folder), None
        except Exception as error:
            message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            if self.full_error == "1" or os.getpid() != self.process:  # for the job's log file
                traceback.print_exc()
            print(f"Error: {message}", file=sys.stderr, flush=True)
            return end("failed", self.folder, message), None
