"""Start one training run, or the jobs of a sweep, from a command line."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mfer_lightning.config.compose import start_hydra, to_plain
from mfer_lightning.config.flags import MULTIRUN, check_mode, primary_config, split_flags, wants_sweep
from mfer_lightning.config.location import config_dirs
from mfer_lightning.config.override_checks import check_overrides
from mfer_lightning.config.path_options import quote_paths
from mfer_lightning.config.path_quoting import quoted
from mfer_lightning.config.schema import Train, register
from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.identity import make_writable
from mfer_lightning.sweeps.job import Job, SweepTask
from mfer_lightning.sweeps.plan import Sweep, check_extras, plan_sweep, register_sweep_dir
from mfer_lightning.sweeps.records import TOKEN, read_records, record_files
from mfer_lightning.sweeps.search import continue_study
from mfer_lightning.termination import one_line_on_sigterm


def launch(config_name: str, job: Job, arguments: Sequence[str]) -> tuple[int, Sweep | None]:
    """Compose the configuration and run a job, or the jobs of a sweep.

    Args:
        config_name: name of the primary configuration file, e.g. ``"train"``.
        job: function to call with a composed configuration.
        arguments: the command-line arguments after the command.

    Returns:
        Exit code (0, or 1 if a job of a sweep failed) and the sweep (None for a single run).

    Raises:
        UserError: for errors that the user can correct. Other exceptions are bugs; they are not caught, except in a
            sweep that has already started jobs, where they are printed.
    """
    with one_line_on_sigterm():
        return _launch(config_name, job, arguments)


def _launch(config_name: str, job: Job, arguments: Sequence[str]) -> tuple[int, Sweep | None]:
    os.environ[TOKEN] = uuid.uuid4().hex
    flags, overrides = split_flags(arguments, config_name)
    primary = primary_config(flags, config_name)
    check_overrides(overrides, config_name)
    check_mode(flags, overrides)
    check_extras(overrides)
    if wants_sweep(flags, overrides):
        return _launch_sweep(config_name, primary, job, flags, overrides)
    register_sweep_dir(arguments)
    refused: list[UserError] = []

    def task(cfg: DictConfig) -> float | None:
        try:
            if HydraConfig.get().mode is RunMode.MULTIRUN:  # set by an experiment file
                raise UserError("hydra.mode is MULTIRUN in the configuration. Also pass -m on the command line.")
            config = to_plain(cfg)
            score, _, _ = job(config, run_parent(config), False)
            return score
        except UserError as error:  # raised again below, because Hydra would print its own lines above the message
            refused.append(error)
            return None

    start_hydra(config_name, Train, task, flags, quote_paths(overrides))
    if refused:
        raise refused[0]
    return 0, None


def _launch_sweep(
    config_name: str, primary: str, job: Job, flags: list[str], overrides: list[str]
) -> tuple[int, Sweep]:
    register(f"{config_name}_schema", Train)
    sweep = plan_sweep(primary, overrides, config_dirs(flags))
    kept = [f for f in flags if f not in MULTIRUN]
    more = [f"hydra.sweep.dir={quoted(str(sweep.folder))}"]  # the same when the configuration is composed again
    made = [folder for folder in (sweep.folder, *sweep.folder.parents) if not folder.exists()]
    make_writable(sweep.folder, "sweep's folder")
    if sweep.study is not None and continue_study(sweep.study).done >= sweep.study.wanted:
        return 0, sweep
    try:
        task = SweepTask(job, sweep.folder, tuple(kept), sweep.study)
        start_hydra(config_name, Train, task, ["-m", *kept], [*quote_paths(overrides, several=True), *more])
    except Exception as error:
        if not read_records(sweep.folder) or (isinstance(error, UserError) and sweep.study is None):
            _remove_empty(made)
            raise
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        said = str(error).strip().partition("\n")[0]
        print(f"Error: the sweep ended early: {kind}{said}", file=sys.stderr, flush=True)
    records = read_records(sweep.folder)
    if not records and sweep.study is None:
        _remove_empty(made)
        raise UserError(
            "The sweep has no jobs, because a range is empty. A range excludes its end: seed=range(0,3) is 0, 1, 2."
        )
    return int(not all(r.has_result or r.status == "pruned" for r in records)), sweep


def _remove_empty(made: Sequence[Path]) -> None:
    """Remove the folders of a rejected sweep, with Hydra's multirun.yaml and Ray's log."""
    for folder in made:
        if {f.name for f in folder.iterdir()} <= {"multirun.yaml", "jobs"} and not record_files(folder):
            shutil.rmtree(folder)


def run_parent(config: dict[str, Any]) -> Path:
    """Return the parent folder of a single run."""
    runs = Path(config["paths"]["runs"]).expanduser()
    return runs / config["name"] if config.get("name") else runs
