"""Train and sweep from Python: call the functions of the command line, and return the runs.

The caller's process is left unchanged (:func:`mfer_lightning.config.caller.caller_undisturbed`), so calls can be
repeated in a notebook, or made from within another Hydra application.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfer_lightning.config.caller import caller_undisturbed
from mfer_lightning.config.flags import hydra_mode, join_values, wants_sweep
from mfer_lightning.config.location import use_config_dirs
from mfer_lightning.errors import UserError
from mfer_lightning.inference.trained_run import Run, SweepRuns
from mfer_lightning.reporting.sweep_end import end_sweep
from mfer_lightning.sweeps.isolation import isolated_job
from mfer_lightning.sweeps.launch import launch
from mfer_lightning.sweeps.records import read_records, sweep_rows
from mfer_lightning.training.run import train as train_once

#: Flags supported here; most other flags print something or select a mode.
_FLAGS = ("--config-dir=", "-cd=")


def train(overrides: Sequence[str] = ()) -> Run:
    """Train one network and test it, like ``mfer train``.

    Several devices (``trainer=ddp``) work in scripts: the other processes are started as ``python -m mfer_lightning``
    with the same overrides. In notebooks, Lightning rejects several devices. Use one device there, or the command line.

    Args:
        overrides: as on the command line, e.g. ``["dataset=facs", "loss=dsf", "seed=1"]``.

    Returns:
        The run: ``.folder``, ``.result``, ``.metrics``, ``.model``, ``.predictions()``.

    Raises:
        UserError: for errors that the caller can correct.

    Example:
        >>> run = train(["dataset=facs", "trainer.max_epochs=1"])  # doctest: +SKIP
        >>> run.metrics["accuracy"]  # doctest: +SKIP
        0.41
    """
    folders: list[Path] = []
    with _called(overrides) as arguments:
        flags = [a for a in arguments if a.startswith("-")]
        own = [a for a in arguments if not a.startswith("-")]
        if wants_sweep(flags, own):
            raise UserError(
                "sweep= and hydra.mode=MULTIRUN start several runs, but train starts one. Use sweep([...])."
            )

        def job(config: dict[str, Any], parent: Path, in_sweep: bool) -> tuple[float | None, Path, bool]:
            with isolated_job(own, flags):  # other processes that Lightning starts belong to this run
                outcome = train_once(config, parent, in_sweep)
            folders.append(outcome[1].absolute())
            return outcome

        launch("train", job, arguments)
    if not folders[0].is_dir():  # trainer.fast_dev_run
        raise UserError(
            "A run with trainer.fast_dev_run keeps nothing, so there is no run to return. Use a short run instead."
        )
    return Run(folders[0])


def sweep(overrides: Sequence[str]) -> SweepRuns:
    """Train every combination of comma-separated values, like ``mfer train -m``, and write the sweep's report.

    A failed job does not stop the others, and is listed in ``.failures``.

    Args:
        overrides: as on the command line, e.g. ``["loss=ce,dsf", "seed=0,1,2", "name=ablation"]``; with
            ``"sweep=optuna"``, a hyperparameter search.

    Returns:
        The finished runs in job order; ``.rows`` is the table of all jobs.

    Raises:
        UserError: before the first job starts, for errors that the caller can correct.
    """
    with _called(overrides) as arguments:
        if hydra_mode(arguments) == "RUN":
            raise UserError("hydra.mode=RUN starts a single run. Use train([...]).")
        _, planned = launch("train", train_once, ["-m", *arguments])
        assert planned is not None
        end_sweep(planned, arguments)
        records = read_records(planned.folder)
        rows = sweep_rows(records)
    jobs, failures = [], {}
    for record, row in zip(records, rows, strict=True):
        result, error, status = (row.pop(key) for key in ("result", "error", "status"))
        if error is not None:
            failures[" ".join(f"{axis}={value}" for axis, value in row.items())] = str(error)
        run_of_job = None if result is None else Run(Path(record.run_dir).absolute())
        figures = {} if result is None else result["metrics"]
        jobs.append({**row, "status": status, "error": error, "run": run_of_job, **figures})
    return SweepRuns(planned.folder.absolute(), tuple(jobs), failures)


@contextmanager
def _called(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Parse the overrides of a call, and restore the state that its jobs change."""
    if (
        not isinstance(overrides, Sequence)
        or isinstance(overrides, str)
        or not all(isinstance(override, str) for override in overrides)
    ):
        raise ValueError(
            f"Expected argument `overrides` to be a list of strings such as ['dataset=facs', 'seed=1'], but got "
            f"{overrides!r}."
        )
    arguments = join_values(overrides)
    for flag in (a for a in arguments if a.startswith("-")):
        if not flag.startswith(_FLAGS):
            raise UserError(
                f"{flag} is not supported in Python. Use sweep([...]) for several runs. The only supported flag is "
                "--config-dir=<folder>."
            )
    with caller_undisturbed():
        use_config_dirs(arguments)
        try:
            yield arguments
        finally:
            use_config_dirs(())
