"""Reject option values that are out of range or unknown.

All other arguments of a class are checked only by that class (:mod:`mfer_lightning.training.checks.trial_build`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfer_lightning.config.path_options import empty_paths
from mfer_lightning.errors import Range, UserError, nearest
from mfer_lightning.sweeps.identity import check_name
from mfer_lightning.views import LARGEST_SHIFT

#: Maximum side in pixels; larger images are photos, not faces.
LARGEST_SIZE = 2048

_RANGES = {
    "trainer.max_epochs": Range(1, 100_000),
    "trainer.min_epochs": Range(0),
    "trainer.max_steps": Range(1),
    "trainer.min_steps": Range(0),
    "trainer.num_nodes": Range(1),
    "trainer.check_val_every_n_epoch": Range(1),
    "trainer.num_sanity_val_steps": Range(0),
    "trainer.log_every_n_steps": Range(1),
    "trainer.accumulate_grad_batches": Range(1),
    "trainer.gradient_clip_val": Range(0, excluded="low"),
    "trainer.reload_dataloaders_every_n_epochs": Range(0),
    "optimizer.eps": Range(0, excluded="low"),
    "optimizer.momentum": Range(0, 1),
    "optimizer.sam_rho": Range(0),
    "backbone.drop_path_rate": Range(0, 0.99),
    "evaluation.embedding_points": Range(0),
    "evaluation.shift": Range(0, LARGEST_SHIFT),
    "preprocess.size": Range(1, LARGEST_SIZE),
    "dataset.size": Range(1, LARGEST_SIZE),
    "seed": Range(0, 2**32 - 1),
}

#: Out-of-range values that mean "no limit" or "all".
_OPEN = {"trainer.max_epochs": -1, "trainer.max_steps": -1, "trainer.num_sanity_val_steps": -1}

_NAMES: Mapping[str, Sequence[str]] = {
    "mixup.name": ("none", "mixup"),
    "ema.name": ("none", "ema"),
    "early_stopping.name": ("none", "early_stopping"),
    "freeze.name": ("none", "backbone"),
    "preprocess.colour": ("RGB", "BGR"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.strategy": (
        "auto",
        "ddp",
        "ddp_find_unused_parameters_true",
        "ddp_find_unused_parameters_false",
    ),
    "trainer.precision": ("auto", "32", "32-true", "bf16", "bf16-mixed", "16", "16-mixed"),
    "trainer.gradient_clip_algorithm": ("norm", "value"),
    "trainer.profiler": ("steps", "simple", "advanced", "pytorch"),
}

#: Option, or ``option=value`` -> why the value is not legal.
_REASONS = {
    "preprocess.colour": "the value must be RGB or BGR, the channel order that the weights were trained on "
    "(weights.colour= is another name for the option).",
    **dict.fromkeys(
        (
            f"trainer.precision={p}"
            for p in ("16-true", "bf16-true", "64-true", "64", "transformer-engine", "transformer-engine-float16")
        ),
        "weights are kept in float32 here. Use bf16-mixed or 16-mixed, or auto.",
    ),
}


def check_values(config: Mapping[str, Any]) -> None:
    """Reject single values that cannot work.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Raises:
        UserError: if a value cannot work; the message names the option, its value, the legal values and the remedy.
    """
    for option, legal in _RANGES.items():
        value = look_up(config, option)
        if value is None or value == _OPEN.get(option):
            continue
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise UserError(f"{option}={value}: the value must be a number.")
        if value not in legal:
            raise UserError(f"{option}={value}: the value must be {legal}.")
    for option, names in _NAMES.items():
        value = look_up(config, option)
        if value is not None and value not in names:
            reason = _REASONS.get(f"{option}={value}") or _REASONS.get(option) or _strategy_reason(option, str(value))
            raise UserError(f"{option}={value}: {reason or f'there is no such value; {nearest(str(value), names)}'}")
    _check_limits(config["trainer"])
    _check_numbers_or_words(config["trainer"])
    _check_devices(config["trainer"]["devices"])
    _check_places(config)
    if config["loader"]["pin_memory"] not in ("auto", True, False):
        raise UserError(f"loader.pin_memory={config['loader']['pin_memory']}: the value must be auto, true or false.")


def look_up(config: Mapping[str, Any], option: str) -> Any:
    """Return the value of a dotted option, or None if it does not exist.

    Example:
        >>> look_up({"trainer": {"max_steps": 1}}, "trainer.max_steps"), look_up({}, "freeze.epochs")
        (1, None)
    """
    value: Any = config
    for name in option.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _check_limits(trainer: Mapping[str, Any]) -> None:
    for name in ("limit_train_batches", "limit_val_batches"):
        value = trainer[name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (number and ((value >= 1 and value == int(value)) or 0 < value <= 1)):
            raise UserError(
                f"trainer.{name}={value}: the value must be a number of batches (1, 2, ...) or a fraction of them "
                "(more than 0, at most 1.0)."
            )


def _check_numbers_or_words(trainer: Mapping[str, Any]) -> None:
    """Check the options that accept several types."""
    run, overfit, deterministic = trainer["fast_dev_run"], trainer["overfit_batches"], trainer["deterministic"]
    if not isinstance(run, int) or run < 0:
        raise UserError(f"trainer.fast_dev_run={run}: the value must be true, false or a number of batches.")
    if not isinstance(overfit, (int, float)) or isinstance(overfit, bool) or overfit < 0 or overfit != int(overfit):
        raise UserError(
            f"trainer.overfit_batches={overfit}: the value must be a number of batches (1, 2, ...), or 0 for "
            "all. For a fraction of the training set, use trainer.limit_train_batches=0.1."
        )
    if deterministic not in (True, False, "warn", None):
        raise UserError(f"trainer.deterministic={deterministic}: the value must be true, false or warn.")
    if trainer["compile"] not in (True, False, "auto", "blocks", "whole"):
        raise UserError(f"trainer.compile={trainer['compile']}: the value must be true, false, auto, blocks or whole.")
    interval = trainer["val_check_interval"]
    number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
    if interval is not None and not number:
        raise UserError(
            f"trainer.val_check_interval={interval}: validation at time intervals is not supported, because it would "
            "happen at different steps each time, and a run could not be resumed exactly. Use a number of batches, or "
            "a fraction of the epoch, e.g. 0.5."
        )
    if number and not (0 < interval <= 1 or (isinstance(interval, int) and interval >= 1)):
        raise UserError(
            f"trainer.val_check_interval={interval}: the value must be a number of batches (1, 2, ...) or a "
            "fraction of the epoch (more than 0, at most 1.0)."
        )
    if isinstance(trainer["max_time"], (int, float)):  # YAML parses 10:00:00:00 as a base-60 number
        raise UserError(
            f"trainer.max_time={trainer['max_time']}: the value must be days:hours:minutes:seconds, quoted in a file, "
            'such as "00:12:00:00", or a mapping such as {hours:12}.'
        )


def _strategy_reason(option: str, value: str) -> str | None:
    """Return why a strategy of Lightning is not supported here."""
    if option == "trainer.strategy" and value.startswith(("fsdp", "deepspeed", "ddp_", "xla", "single_", "dp")):
        return "only one process per device, each with a full copy of the network, is supported here. Use ddp, or auto."
    return None


def _check_devices(devices: Any) -> None:
    if devices in ("auto", -1, "-1"):
        return
    parts = devices if isinstance(devices, list) else str(devices).split(",")
    numbers = bool(parts) and all(str(part).strip().isdigit() for part in parts)
    if not numbers or isinstance(devices, bool) or devices in (0, "0"):
        raise UserError(
            f"trainer.devices={devices}: the value must be a number of devices (1, 2, ...), a list of device indices "
            "([0,1]), or auto."
        )


def _check_places(config: Mapping[str, Any]) -> None:
    for option in (*empty_paths(config), *(["backbone.name"] if look_up(config, "backbone.name") == "" else [])):
        raise UserError(f"{option}= has no value. Set one, or remove the option.")
    check_name(config["name"])
