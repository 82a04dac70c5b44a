"""From a verb's arguments to composed configurations: Hydra started, its complaints explained, sweeps kept going."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mfer_lightning.config.location import config_dir, groups
from mfer_lightning.config.messages import explain
from mfer_lightning.config.plain import to_plain
from mfer_lightning.config.schema import Train, register
from mfer_lightning.config.unknown_options import check_known
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.sweep.identity import make_writable
from mfer_lightning.sweep.isolation import stoppable
from mfer_lightning.sweep.job import FULL_ERROR, Job, SweepTask
from mfer_lightning.sweep.lock import run_lock
from mfer_lightning.sweep.plan import Sweep, check_extras, continue_study, plan_sweep, register_sweep_dir
from mfer_lightning.sweep.records import TOKEN, read_records

#: Hydra's flags, without and with a value.
PLAIN_FLAGS = ("-m", "--multirun", "--resolve", "--hydra-help", "--run", "-r")
VALUE_FLAGS = ("--cfg", "-c", "--package", "-p", "--config-dir", "-cd", "--info", "-i")

#: Options without a group that other programs have as flags.
_PLAIN_OPTIONS = frozenset(f.name for f in fields(Train))

#: Values of a flag, where they are few.
FLAG_VALUES = dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")) | dict.fromkeys(
    ("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
)


def launch(config_name: str, job: Job, arguments: Sequence[str]) -> tuple[int, Sweep | None]:
    """Compose the configuration and run a job, or the jobs of a sweep.

    Args:
        config_name: name of the primary configuration file, e.g. ``"train"``.
        job: what to do with a composed configuration.
        arguments: the command line after the verb.

    Returns:
        Exit code (0, or 1 where a job of a sweep failed) and the sweep (None for a single run).

    Raises:
        UserError: for what the user can mend. Everything else is a defect and is raised as it is.
    """
    if any(a.startswith("--experimental-rerun") for a in arguments):
        raise UserError("--experimental-rerun loads pickled files, which can execute code; it is not supported here.")
    os.environ[TOKEN] = uuid.uuid4().hex
    flags, overrides = split_flags(arguments)
    check_extras(overrides)
    if wants_sweep(flags, overrides):
        return _launch_sweep(config_name, job, flags, overrides)
    register_sweep_dir(arguments)
    refused: list[UserError] = []

    def task(cfg: DictConfig) -> float | None:
        try:
            if HydraConfig.get().mode is RunMode.MULTIRUN:  # said by an experiment file
                raise UserError("hydra.mode is MULTIRUN in the configuration: say -m on the command line as well.")
            config = to_plain(cfg)
            score, _, _ = job(config, run_parent(config), False)
            return score
        except UserError as error:  # kept for below: Hydra would print lines of its own above the message
            refused.append(error)
            return None

    _compose(config_name, Train, task, flags, overrides)
    if refused:
        raise refused[0]
    return 0, None


def _launch_sweep(config_name: str, job: Job, flags: list[str], overrides: list[str]) -> tuple[int, Sweep]:
    register(f"{config_name}_schema", Train)
    sweep = plan_sweep(config_name, overrides, config_dirs(flags))
    kept = [f for f in flags if f not in ("-m", "--multirun")]
    quoted = str(sweep.folder).replace("\\", "\\\\").replace("'", "\\'")
    more = [f"hydra.sweep.dir='{quoted}'"]  # where it is composed anew, in other processes, as well
    made = [folder for folder in (sweep.folder, *sweep.folder.parents) if not folder.exists()]
    make_writable(sweep.folder, "sweep's folder")
    with ExitStack() as held:
        if sweep.study is not None:
            held.enter_context(run_lock(sweep.folder))
            progress, told = continue_study(sweep)
            if progress.done >= sweep.study.wanted:
                return 0, sweep
            more += told
        if not sweep.in_this_process:
            held.enter_context(stoppable())
        task = SweepTask(job, sweep.folder, tuple(kept))
        try:
            _compose(config_name, Train, task, ["-m", *kept], [*overrides, *more])
        except UserError:
            _remove_empty(made)
            raise
        except Exception as error:
            if not read_records(sweep.folder):
                _remove_empty(made)
                raise
            if not (sweep.study is not None and isinstance(error, ValueError)):  # Optuna's, where no trial has a result
                print(f"Error: the sweep ended early: {_first_line(error)}", file=sys.stderr, flush=True)
        records = read_records(sweep.folder)
        if not records and sweep.study is None:
            _remove_empty(made)
            raise UserError("The sweep has no jobs: a range is empty. Its end does not belong to it: seed=range(0,3).")
    return int(not all(r.has_result for r in records)), sweep


def _remove_empty(made: Sequence[Path]) -> None:
    """Take away the folders of a sweep that was refused: Hydra writes its multirun.yaml before it looks at the jobs."""
    for folder in made:
        if {f.name for f in folder.iterdir()} <= {"multirun.yaml"}:
            shutil.rmtree(folder)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"


def wants_sweep(flags: Sequence[str], overrides: Sequence[str]) -> bool:
    """Whether a command line asks for a sweep to be run, and not for its configuration to be shown.

    Example:
        >>> wants_sweep(["-m"], ["seed=0,1"]), wants_sweep([], ["sweep=optuna"]), wants_sweep(["-m", "--cfg"], [])
        (True, True, False)
    """
    if any(f.partition("=")[0] in ("--cfg", "-c", "--info", "-i", "--hydra-help") for f in flags):
        return False
    if any(o.replace(" ", "") == "hydra.mode=RUN" for o in overrides):
        return False
    search = any(o.startswith("sweep=") and o not in ("sweep=null", "sweep=") for o in overrides)
    return search or any(f in ("-m", "--multirun") for f in flags)


def config_dirs(flags: Sequence[str]) -> list[str]:
    """Take the folders of ``--config-dir`` from the flags.

    Example:
        >>> config_dirs(["--config-dir", "mine", "-m", "-cd=yours"])
        ['mine', 'yours']
    """
    names = ("--config-dir", "-cd")
    pairs = zip(flags, [*flags, ""][1:], strict=True)
    return [f.partition("=")[2] or following for f, following in pairs if f.partition("=")[0] in names]


def run_verb(
    config_name: str, schema: type, job: Callable[[dict[str, Any]], int | None], arguments: Sequence[str]
) -> int:
    """Compose the configuration of a verb other than ``train`` and do its job.

    With ``-m`` the job is done for each combination of the comma-separated values, in this process, one after the
    other; one that fails with a mistake of the user's is said and does not stop the others.

    Args:
        config_name: name of the primary configuration file, e.g. ``"evaluate"``; the file's defaults list begins with
            ``<config_name>_schema``.
        schema: dataclass of the legal options and their types.
        job: takes the plain resolved configuration; returns an exit code, None meaning 0.
        arguments: the command line after the verb.

    Returns:
        Exit code: the job's own, or 1 where a job of several failed.

    Raises:
        UserError: for what the user can mend.
    """
    flags, overrides = split_flags(arguments)
    if any(o.startswith(("launcher=", "hydra/launcher=", "sweep=", "hydra/sweeper=")) for o in overrides):
        raise UserError("launcher= and sweep= belong to mfer train: other verbs do a grid in this process.")
    codes: list[int] = []
    refused: list[UserError] = []

    def task(cfg: DictConfig) -> None:
        try:
            config = to_plain(cfg)
            check_known(config, schema)
            codes.append(job(config) or 0)
        except UserError as error:  # kept for below: Hydra would print lines of its own above the message
            refused.append(error)
            codes.append(1)
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                print(f"Error: {error}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as scratch:  # Hydra writes a multirun.yaml for a sweep, which nobody here needs
        _compose(config_name, schema, task, flags, [*overrides, f"hydra.sweep.dir={scratch}"])
    if len(codes) == 1 and refused:
        raise refused[0]
    return codes[0] if len(codes) == 1 else int(any(codes))


def _compose(
    config_name: str, schema: type, task: Callable[[DictConfig], Any], flags: Sequence[str], overrides: Sequence[str]
) -> None:
    """Let Hydra compose the configuration and call the task; say again what Hydra complains of."""
    register(f"{config_name}_schema", schema)
    wanted = os.environ.get("HYDRA_FULL_ERROR")
    inherited = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = inherited if inherited is not None else wanted or ""
    full = os.environ[FULL_ERROR] == "1"
    argv = sys.argv
    sys.argv = [argv[0], *flags, *overrides]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise rather than print and exit: the message is ours to write
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(task)()
    except UserError:
        raise
    except Exception as error:
        message = explain(error, schema, overrides)
        if message is None or full:
            raise
        raise UserError(message) from error
    finally:
        sys.argv = argv
        for name, value in (("HYDRA_FULL_ERROR", wanted), (FULL_ERROR, inherited)):
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def split_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Put Hydra's flags before the overrides, wherever they stood.

    Args:
        arguments: the command line after the verb.

    Returns:
        Flags with their values, and overrides.

    Raises:
        UserError: for a flag that Hydra does not know.

    Example:
        >>> split_flags(["seed=0", "-m", "loss=ce,dsf", "--cfg", "job"])
        (['-m', '--cfg', 'job'], ['seed=0', 'loss=ce,dsf'])
    """
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name = word.partition("=")[0]
        if not name:
            raise UserError(f"`{word}` has no option before the = sign: options are written key=value, e.g. loss=dsf.")
        if not word.startswith("-"):
            overrides.append(word)
        elif name in PLAIN_FLAGS:
            flags.append(word)
        elif name in VALUE_FLAGS:
            flags.append(word)
            if "=" not in word:
                if not rest:
                    raise UserError(f"{word} needs a value: {word} {'|'.join(FLAG_VALUES.get(word, ('...',)))}.")
                flags.append(rest.pop(0))
            value = flags[-1].partition("=")[2] if "=" in word else flags[-1]
            if value not in FLAG_VALUES.get(name, (value,)):
                raise UserError(f"{name} {value}: {nearest(value, FLAG_VALUES[name])}")
        else:
            option = name.lstrip("-")
            if name.startswith("--") and (option in groups() or "." in option or option in _PLAIN_OPTIONS):
                value = word.partition("=")[2] or (rest[0] if rest and not rest[0].startswith("-") else "...")
                raise UserError(f"Options are written key=value, without dashes: {option}={value}, not {name}.")
            raise UserError(f"There is no flag {name}: {nearest(name, [*PLAIN_FLAGS, *VALUE_FLAGS])}")
    return flags, overrides


def run_parent(config: dict[str, Any]) -> Path:
    """Folder that a single run's own folder goes in."""
    runs = Path(config["paths"]["runs"]).expanduser()
    return runs / config["name"] if config.get("name") else runs
