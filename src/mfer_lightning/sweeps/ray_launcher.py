"""Run the jobs of a sweep with Ray, each on its own GPUs, on this machine or on a cluster.

hydra-ray-launcher does the same but is not used, because it ends a sweep as soon as the process or machine of one job
fails, waits indefinitely for unavailable resources, leaves ports open to other machines, and has a dependency
(cloudpickle before 3) that conflicts with joblib 1.6 (used by scikit-learn). The option names are the same.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import floor
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.ray_cluster import machines, ray_started
from mfer_lightning.sweeps.records import CUT_OFF, JobRecord, read_record, record_file

#: Seconds between two checks of the jobs.
_LOOK = 0.5

#: Grace period in seconds: how long jobs may take to end when the sweep is stopped, before they are killed.
_GRACE = 15.0

#: On a machine without GPUs, each job gets as many cores as if this many jobs ran in parallel, as with joblib.
_WITHOUT_CARDS = 2


class Jobs(Launcher):
    """Submit the jobs of a sweep to Ray, and record those that are lost.

    Args:
        ray: ``init``, the arguments of ``ray.init``; ``remote``, the resources of a job (options of a Ray task);
            ``patience``, seconds to wait if no machine has the resources for a job.
    """

    def __init__(self, ray: Mapping[str, Any]) -> None:
        plain = OmegaConf.to_container(OmegaConf.create(dict(ray)), resolve=True)
        assert isinstance(plain, dict)
        self._init = dict(plain.get("init") or {})
        self._remote = {k: v for k, v in (plain.get("remote") or {}).items() if v is not None}
        self._patience = float(plain.get("patience") or 0)
        self._running: dict[Any, JobRecord] = {}
        self._told: set[tuple[int, str]] = set()
        self._opened = False
        self._since: float | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store Hydra's information about the sweep."""
        self._context, self._task, self._config = hydra_context, task_function, config
        self._folder = Path(str(config.hydra.sweep.dir))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and wait for all of them; a lost job has no value and does not stop the others."""
        with self.opened():
            for number, overrides in enumerate(job_overrides, initial_job_idx):
                self.start(overrides, number)
            ended: dict[int, JobReturn] = {}
            while self._running:
                ended |= self.ended()
        return [ended[number] for number in sorted(ended)]

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Run Ray within a block, and stop the remaining jobs at the end."""
        if self._opened:
            yield
            return
        self._check()
        left: list[JobRecord] = []
        try:
            with ray_started(self._init, self._folder / "jobs" / "ray.log"):
                self._needs = self._needed()
                self._job = self._as_ray_has_it()
                self._opened = True
                try:
                    yield
                finally:
                    self._opened = False
                    left.extend(self._running.values())
                    self._stop()
        finally:
            for record in left:
                self._cut_off(record)

    def start(self, overrides: Sequence[str], number: int) -> None:
        """Submit one job to Ray, which runs it as soon as a machine has the resources."""
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = f"{self._config.hydra.job.name}_{number}", number
        environment = {k: v for k, v in os.environ.items() if k.startswith("MFER_")}
        reference = self._job.remote(
            self._context, config, self._task, Singleton.get_state(), str(Path.cwd()), environment
        )
        task = tuple(OmegaConf.to_container(config.hydra.overrides.task) or ())
        self._running[reference] = JobRecord(number, tuple(map(str, task)), "failed", str(self._folder))

    def ended(self) -> dict[int, JobReturn]:
        """Wait briefly, and return the jobs that have ended: job number -> return value."""
        import ray

        done, _ = ray.wait(list(self._running), num_returns=1, timeout=0)
        if not done:
            time.sleep(_LOOK)  # sleep in Python: if a signal arrives during Ray's wait, the signal's exit code is lost
        returns: dict[int, JobReturn] = {}
        for reference in done:
            record = self._running.pop(reference)
            try:
                job = ray.get(reference)
                failed = job._return_value if job.status is JobStatus.FAILED else None  # reading its value would raise
                returns[record.number] = job if failed is None else self._lose(record, _in_a_sentence(failed))
            except ray.exceptions.RayError as error:
                returns[record.number] = self._lose(record, _reason(error))
            self._tell(record.number)
        for record in self._running.values():
            self._tell(record.number)
        if not done:
            returns |= self._without_machine()
        return returns

    def at_a_time(self) -> int:
        """Number of jobs that the machines can run in parallel, at least 1."""
        return max(1, sum(_room(machine, self._needs) for machine in machines()))

    def _check(self) -> None:
        """Reject invalid amounts of GPUs and cores, and jobs that would use a GPU without reserving it."""
        for node, asked in (("init", self._init), ("remote", self._remote)):
            for name in ("num_gpus", "num_cpus"):
                amount = asked.get(name)
                if amount is None:
                    continue
                # Ray can divide a GPU among jobs, but above one, a job gets whole GPUs. Cores are only counted.
                part = node == "remote" and type(amount) is float and amount > 0 and (name == "num_cpus" or amount < 1)
                if not part and (type(amount) not in (int, float) or amount < 0 or amount % 1):
                    also = {"num_cpus": ", or a positive fraction", "num_gpus": ", or a fraction below 1"}
                    raise UserError(
                        f"hydra.launcher.ray.{node}.{name}={amount}: the value must be a whole number"
                        f"{also[name] if node == 'remote' else ''}."
                    )
        none = "remote" if self._remote.get("num_gpus") == 0 else "init" if self._init.get("num_gpus") == 0 else ""
        if none and self._config.trainer.accelerator in ("gpu", "cuda"):
            raise UserError(
                f"hydra.launcher.ray.{none}.num_gpus=0 gives a job no GPU, but the trainer requires one. Remove the "
                "option, or use trainer=cpu."
            )

    def _needed(self) -> dict[str, Any]:
        """Return the resources of a job: as requested, or one GPU if there are GPUs, and a share of the cores."""
        found = machines()
        needs = dict(self._remote)
        needs.setdefault("num_gpus", 1 if any(machine.get("GPU") for machine in found) else 0)
        if "num_cpus" not in needs:
            gpus = needs["num_gpus"]
            at_a_time = [(m["GPU"] / gpus, m) for m in found if m.get("GPU")] if gpus else []
            shared = at_a_time or [(_WITHOUT_CARDS, m) for m in found]
            share = min((m.get("CPU", 1) / max(1, jobs) for jobs, m in shared), default=1)
            needs["num_cpus"] = floor(share) if share >= 1 else floor(share * 100) / 100  # hundredths below one core
        needs.pop("max_retries", None)
        if self._init.get("address", "local") == "local" and not any(_room(m, needs) for m in found):
            raise UserError(
                f"A job needs {_words(needs)}, but this machine has {_words(_totals(found))}. Request less "
                "with hydra.launcher.ray.remote.num_gpus=... or num_cpus=..."
            )
        return needs

    def _as_ray_has_it(self) -> Any:
        import ray

        try:
            return ray.remote(**self._needs, max_retries=0)(_run_job)
        except (TypeError, ValueError) as error:
            said = " ".join(str(error).split())[:300]
            raise UserError(f"hydra.launcher.ray.remote was rejected by Ray: {said}") from error

    def _without_machine(self) -> dict[int, JobReturn]:
        """Give up on jobs that no machine has been able to run for some time."""
        import ray

        if any(_room(machine, self._needs) for machine in machines()):
            self._since = None
            return {}
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since < self._patience:
            return {}
        reason = (
            f"no machine of the Ray cluster has had {_words(self._needs)} for {self._patience:g} seconds "
            "(hydra.launcher.ray.patience); run the same command again when they are available"
        )
        lost = dict(self._running)
        self._running.clear()
        for reference in lost:
            ray.cancel(reference, force=True)
        return {record.number: self._lose(record, reason) for record in lost.values()}

    def _lose(self, record: JobRecord, reason: str) -> JobReturn:
        """Record a job that did not report its own end."""
        JobRecord(record.number, record.overrides, "failed", record.run_dir, reason).write(self._folder)
        # "completed" for Hydra, which would otherwise end the sweep; a search treats a missing value as a failure
        return JobReturn(overrides=record.overrides, status=JobStatus.COMPLETED)

    def _cut_off(self, record: JobRecord) -> None:
        """Record a job that was stopped by force, before it could record its own end."""
        found = read_record(self._folder, record.number)
        if found is not None and found.status == "running":
            replace(found, status="failed", error=CUT_OFF).write(self._folder)

    def _tell(self, number: int) -> None:
        """Print that a job has started, or how it has ended."""
        record = read_record(self._folder, number)
        if record is None or (number, record.status) in self._told:
            return
        if not any(told == number for told, _ in self._told):
            log = record_file(self._folder, number).with_suffix(".log")
            card = f", GPU {record.cards}" if record.cards else ""
            words = " ".join(record.overrides)
            print(f"\n--- job {number} on {record.host}{card}: {words} (output: {log})", flush=True)
        self._told.add((number, record.status))
        if record.status != "running":
            print(f"--- job {number} {record.status}{f': {record.error}' if record.error else ''}", flush=True)

    def _stop(self) -> None:
        """Stop the running jobs: first as with Ctrl-C, then by force."""
        import ray

        left = list(self._running)
        self._running.clear()
        if left:
            for reference in left:
                ray.cancel(reference)
            _, left = ray.wait(left, num_returns=len(left), timeout=_GRACE)
        for reference in left:
            ray.cancel(reference, force=True)


def _run_job(
    context: HydraContext,
    config: DictConfig,
    task: TaskFunction,
    state: Any,
    folder: str,
    environment: Mapping[str, str],
) -> JobReturn:
    """Run a job in a process that Ray has started on some machine."""
    if not Path(folder).is_dir():
        raise UserError(
            f"there is no folder {folder} on {os.uname().nodename}; jobs of a Ray cluster need the working "
            "directory, the data and paths.runs under the same path on each machine"
        )
    os.chdir(folder)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for ray.cancel; a background process may ignore SIGINT
    setup_globals()
    Singleton.set_state(state)
    HydraConfig.instance().set_config(config)
    return run_job(
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
    )


def _room(machine: Mapping[str, float], needs: Mapping[str, Any]) -> int:
    """Return the number of jobs that a machine can run in parallel."""
    wanted = {"GPU": needs["num_gpus"], "CPU": needs["num_cpus"], **needs.get("resources", {})}
    return min((int(machine.get(name, 0) / each + 1e-9) for name, each in wanted.items() if each), default=1)


def _totals(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {"num_gpus": sum(m.get("GPU", 0) for m in found), "num_cpus": sum(m.get("CPU", 0) for m in found)}


def _words(needs: Mapping[str, Any]) -> str:
    further = "".join(f" and {v:g} {k}" for k, v in needs.get("resources", {}).items())
    gpus, cores = needs["num_gpus"], needs["num_cpus"]
    return f"{gpus:g} GPU{'s' * (gpus != 1)} and {cores:g} core{'s' * (cores != 1)}{further}"


def _in_a_sentence(error: BaseException) -> str:
    said = " ".join(str(error).split())[:500]
    return said if isinstance(error, UserError) else f"{type(error).__name__}: {said}"


def _reason(error: Exception) -> str:
    """Return why a job was lost, in one sentence."""
    import ray

    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return (
            "the memory of its machine was nearly full, so Ray ended it; run fewer jobs at a time; the same command "
            "continues it"
        )
    if isinstance(error, ray.exceptions.NodeDiedError):
        return "its machine left the Ray cluster; the same command continues it"
    if isinstance(error, ray.exceptions.TaskCancelledError):
        return "interrupted; the same command continues it"
    if isinstance(error, ray.exceptions.RayTaskError):
        return _in_a_sentence(error.cause or error)
    if isinstance(error, ray.exceptions.WorkerCrashedError):
        return CUT_OFF
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; the same command continues it"
