"""From a verb's arguments to composed configurations: Hydra started, its complaints explained, sweeps kept going."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mfer_lightning.config.explain import explain
from mfer_lightning.config.location import config_dir
from mfer_lightning.config.schema import Train, register
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.sweep.identity import sweep_name
from mfer_lightning.sweep.isolation import isolated_job
from mfer_lightning.sweep.records import TOKEN, JobRecord, read_records

#: Hydra's flags, without and with a value.
PLAIN_FLAGS = ("-m", "--multirun", "--resolve", "--hydra-help", "--run", "-r")
VALUE_FLAGS = ("--cfg", "-c", "--package", "-p", "--config-dir", "-cd", "--info", "-i")

#: Values of a flag, where they are few.
FLAG_VALUES = dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")) | dict.fromkeys(
    ("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
)

#: What the user set HYDRA_FULL_ERROR to: inherited by further ranks, where that variable itself is ours.
FULL_ERROR = "MFER_FULL_ERROR"

#: One job: configuration, parent folder of its run, whether it belongs to a sweep -> its score, its folder, new or not.
Job = Callable[[dict[str, Any], Path, bool], tuple[float | None, Path, bool]]


def launch(config_name: str, job: Job, arguments: Sequence[str]) -> tuple[int, Path | None]:
    """Compose the configuration and run a job, or the jobs of a sweep.

    Args:
        config_name: name of the primary configuration file, e.g. ``"train"``.
        job: what to do with a composed configuration.
        arguments: the command line after the verb.

    Returns:
        Exit code (0, or 1 where a job of a sweep failed) and the sweep's folder (None for a single run).

    Raises:
        UserError: for what the user can mend. Everything else is a defect and is raised as it is.
    """
    if any(a.startswith("--experimental-rerun") for a in arguments):
        raise UserError("--experimental-rerun loads pickled files, which can execute code; it is not supported here.")
    os.environ[TOKEN] = uuid.uuid4().hex
    flags, overrides = split_flags(arguments)
    _register_sweep_dir(arguments)
    sweep: list[Path] = []
    refused: list[UserError] = []

    def task(cfg: DictConfig) -> float | None:
        settings = HydraConfig.get()
        if settings.mode is not RunMode.MULTIRUN:
            try:
                config = to_plain(cfg)
                score, _, _ = job(config, run_parent(config), False)
                return score
            except UserError as error:  # kept for below: Hydra would print lines of its own above the message
                refused.append(error)
                return None
        sweep_dir = Path(settings.sweep.dir)
        if not sweep:
            sweep.append(sweep_dir)
        return _sweep_job(cfg, job, int(settings.job.num), tuple(settings.overrides.task), sweep_dir, flags)

    _compose(config_name, Train, task, flags, overrides)
    if refused:
        raise refused[0]
    if not sweep:
        return 0, None
    return int(any(r.status == "failed" for r in read_records(sweep[0]))), sweep[0]


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
    codes: list[int] = []
    refused: list[UserError] = []

    def task(cfg: DictConfig) -> None:
        try:
            codes.append(job(to_plain(cfg)) or 0)
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
            raise UserError(f"There is no flag {name}: {nearest(name, [*PLAIN_FLAGS, *VALUE_FLAGS])}")
    return flags, overrides


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    """Resolve a composed configuration into plain containers.

    Raises:
        UserError: for an interpolation that leads nowhere, or a value that is still missing.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except Exception as error:
        raise UserError(explain(error) or str(error)) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def run_parent(config: dict[str, Any]) -> Path:
    """Folder that a single run's own folder goes in."""
    runs = Path(config["paths"]["runs"]).expanduser()
    return runs / config["name"] if config.get("name") else runs


def _register_sweep_dir(arguments: Sequence[str]) -> None:
    def sweep_dir(*, _root_: DictConfig) -> str:
        return str(Path(_root_.paths.runs).expanduser() / (_root_.get("name") or sweep_name(arguments)))

    OmegaConf.register_new_resolver("mfer.sweep_dir", sweep_dir, replace=True)


def _sweep_job(
    cfg: DictConfig, job: Job, number: int, overrides: tuple[str, ...], sweep_dir: Path, flags: Sequence[str]
) -> float | None:
    """Run one job of a sweep; a failure is recorded and does not stop the others."""
    print(f"\n--- job {number}: {' '.join(overrides)}", flush=True)
    folder = sweep_dir
    try:
        with isolated_job(overrides, [f for f in flags if f not in ("-m", "--multirun")]):
            score, folder, new = job(to_plain(cfg), sweep_dir, True)
        JobRecord(number, overrides, "done" if new else "skipped", str(folder)).write(sweep_dir)
        return score
    except KeyboardInterrupt:
        JobRecord(number, overrides, "failed", str(folder), "interrupted").write(sweep_dir)
        raise
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        if os.environ.get(FULL_ERROR) == "1":
            traceback.print_exc()
        print(f"Error: {message}", file=sys.stderr, flush=True)
        JobRecord(number, overrides, "failed", str(folder), message).write(sweep_dir)
        return float("nan")
