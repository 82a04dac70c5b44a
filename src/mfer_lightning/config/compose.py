"""Compose the configuration of a command with Hydra, and run the command's job with it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from mfer_lightning.bundled.registry import with_version
from mfer_lightning.config.backbone_options import without_other_family
from mfer_lightning.config.caller import composing, given_overrides, is_given
from mfer_lightning.config.chosen import CHOICES, PARTS, choices_to_keep, is_peer
from mfer_lightning.config.environment import restored
from mfer_lightning.config.flags import check_mode, primary_config, split_flags, wants_sweep
from mfer_lightning.config.former_names import OPTIONS, override_of_today, with_options_of_today
from mfer_lightning.config.former_values import FORMER_ATTENTION
from mfer_lightning.config.location import config_dir
from mfer_lightning.config.messages import readable
from mfer_lightning.config.override_checks import check_overrides
from mfer_lightning.config.path_options import empty_paths, expand_paths, quote_paths
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.config.schema import Backbone, Train, check_known, register
from mfer_lightning.config.verb_schema import verb_schema
from mfer_lightning.errors import UserError

#: Variable with the user's value of HYDRA_FULL_ERROR, which this module overwrites. Other ranks inherit the variable.
FULL_ERROR = "MFER_FULL_ERROR"


def run_verb(config_name: str, job: Callable[[dict[str, Any]], int | None], arguments: Sequence[str]) -> int:
    """Compose the configuration of a command other than ``train`` and run its job.

    With ``-m``, the job runs for each combination of the comma-separated values, one after the other in this process.
    If a job fails with a user error, the error is printed, and the others still run.

    Args:
        config_name: name of the primary configuration file, e.g. ``"evaluate"``; its defaults list begins with
            ``<config_name>_schema``.
        job: function of the plain resolved configuration that returns an exit code, or None for 0.
        arguments: the command-line arguments after the command.

    Returns:
        Exit code: that of the job, or 1 if any of several failed; 2 if a sweep has a single job and that job ends with
        a user error.

    Raises:
        UserError: for errors that the user can correct, except within a sweep.
    """
    schema = verb_schema(config_name)
    flags, overrides = split_flags(arguments, config_name)
    primary_config(flags, config_name)
    check_overrides(overrides, config_name)
    check_mode(flags, overrides)
    if any(o.startswith(("launcher=", "hydra/launcher=", "sweep=", "hydra/sweeper=")) for o in overrides):
        raise UserError("launcher= and sweep= work only with mfer train. Other commands run a sweep in this process.")
    codes: list[int] = []
    refused: list[UserError] = []
    swept = wants_sweep(flags, overrides)

    def task(cfg: DictConfig) -> None:
        try:
            config = to_plain(cfg)
            check_known(config, schema)
            refuse_empty(config)
            with plugins_loaded(config.pop("plugins", ())):
                codes.append(job(config) or 0)
        except UserError as error:  # raised again below: Hydra would print its own lines above the message
            refused.append(error)
            codes.append(1)
            if swept:
                print(f"Error: {error}", file=sys.stderr, flush=True)

    overrides = quote_paths(overrides, swept)
    with tempfile.TemporaryDirectory() as scratch:  # for the multirun.yaml that Hydra writes in a sweep
        start_hydra(config_name, schema, task, flags, [*overrides, f"hydra.sweep.dir={scratch}"])
    if len(codes) == 1 and refused:
        if swept:
            return 2  # already printed
        raise refused[0]
    return codes[0] if len(codes) == 1 else int(any(codes))


def refuse_empty(config: Mapping[str, Any]) -> None:
    """Reject paths that are set to an empty value, which would mean the current folder.

    Args:
        config: plain configuration of a command.

    Raises:
        UserError: if there is such a path.
    """
    for option in empty_paths(config):
        raise UserError(
            f"{option}= has no value, perhaps because a shell variable is empty: give one, or leave the option out."
        )


def start_hydra(
    config_name: str, schema: type, task: Callable[[DictConfig], Any], flags: Sequence[str], overrides: Sequence[str]
) -> None:
    """Let Hydra compose the configuration and call the task.

    Args:
        config_name: name of the primary configuration file.
        schema: dataclass of the command's options.
        task: function of the composed configuration.
        flags: flags of Hydra, e.g. ``-m``.
        overrides: ``key=value``.

    Raises:
        UserError: for anything that Hydra rejects.
    """
    register(f"{config_name}_schema", schema)
    argv = sys.argv
    with restored("HYDRA_FULL_ERROR", FULL_ERROR):
        full = os.environ.setdefault(FULL_ERROR, os.environ.get("HYDRA_FULL_ERROR", "")) == "1"
        os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing and exiting
        sys.argv = [argv[0], *flags, *map(override_of_today, overrides)]
        try:
            with readable(schema, overrides, full):
                hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(task)()
        finally:
            sys.argv = argv


def compose_train(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose the configuration that ``mfer train`` would run with these overrides.

    Args:
        overrides: ``key=value``.

    Returns:
        Plain resolved configuration.

    Raises:
        UserError: if the configuration cannot be composed.
    """
    register("train_schema", Train)
    check_overrides(overrides, "train")
    with composing(), readable(overrides=overrides):
        written = [override_of_today(o) for o in quote_paths(overrides)]
        cfg = hydra.compose("train", written, return_hydra_config=True)
        choice = cfg.hydra.runtime.choices.backbone
        with open_dict(cfg):
            del cfg["hydra"]
        return to_plain(cfg, choice)


def to_plain(cfg: DictConfig, choice: str | None = None) -> dict[str, Any]:
    """Resolve a composed configuration to plain containers.

    Args:
        cfg: the configuration composed by Hydra.
        choice: choice of the group ``backbone``; None: that of the current command line.

    Raises:
        UserError: for an unresolvable interpolation, a missing value, or an option set to different values under its
            current and its older name.
    """
    with readable():
        resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    plain = {str(key): value for key, value in resolved.items()}
    settings = HydraConfig.get() if HydraConfig.initialized() else None
    chosen = {} if settings is None else {str(group): name for group, name in settings.runtime.choices.items()}
    if choice is None:
        choice = chosen.get("backbone")
    if choice is not None and "backbone" in plain:
        plain["backbone"] = without_other_family(plain["backbone"], str(choice))
    if is_peer(plain):
        plain |= {part: asdict(Backbone(name="none")) if part == "backbone" else {"name": "none"} for part in PARTS}
    if chosen and "loss" in plain and (kept := choices_to_keep(plain, chosen, given_overrides())):
        plain[CHOICES] = kept
    attention = plain.get("attention")
    if isinstance(attention, dict) and attention.get("name") == "none":  # experiments set these for any attention
        plain["attention"] = {key: value for key, value in attention.items() if key not in FORMER_ATTENTION}
    if isinstance(weights := plain.get("weights"), str):
        plain["weights"] = with_version(weights)
    _refuse_two_spellings(cfg, plain)
    return expand_paths(with_options_of_today(plain))


def _refuse_two_spellings(cfg: DictConfig, plain: dict[Any, Any]) -> None:
    """Reject different values for an option under its former and its current name."""
    for older, newer in OPTIONS.items():
        group, name = older.split(".")
        if group not in plain or OmegaConf.is_interpolation(cfg[group], name):
            continue
        default = getattr(Train().trainer, newer.rpartition(".")[2])
        old, new = plain[group][name], plain[group][newer.rpartition(".")[2]]
        if old != new and (new != default or is_given(newer)):
            raise UserError(f"{older}={old} is the former name of {newer}={new}, and both are given: keep one.")
