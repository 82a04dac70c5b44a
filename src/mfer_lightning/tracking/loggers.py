"""Build the loggers of a configuration; ``metrics.csv`` is always written."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from mfer_lightning.config.chosen import name_of
from mfer_lightning.config.instantiate import LIBRARIES, instantiate, locate
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.tracking import names
from mfer_lightning.tracking.arguments import checked_arguments
from mfer_lightning.tracking.choice import chosen_loggers
from mfer_lightning.tracking.run_logger import RunLogger
from mfer_lightning.tracking.wandb_account import MODES, wandb_mode

#: Logger -> the module it needs, and its name in messages; the extra that installs it has the name of the logger.
_EXTRAS = {
    "tensorboard": ("tensorboard", "TensorBoard"),
    "mlflow": ("mlflow", "MLflow"),
    "comet": ("comet_ml", "Comet"),
}

#: Maximum length allowed by W&B.
_LONGEST_TAG = 64


def check_loggers(node: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Check the loggers of a configuration and their options, without building any.

    Args:
        node: the node ``logger``.

    Returns:
        Name -> checked options; loggers that only write ``metrics.csv`` are left out.

    Raises:
        UserError: for an unknown name, option or mode, a value of the wrong type, or a missing package.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, options in chosen_loggers(node).items():
        if "_target_" in options:
            kind = locate(str(options["_target_"]), f"logger.{name}", LIBRARIES["logger"])
            if not (isinstance(kind, type) and issubclass(kind, Logger)):
                raise UserError(f"logger.{name}: `{options['_target_']}` is not a Lightning logger.")
            found[name] = options
            continue
        if name in ("csv", "none"):
            for key, value in options.items():
                raise UserError(
                    f"logger.{key}={value}: logger={name} has no options: it adds nothing to metrics.csv, which every "
                    "run writes."
                )
            continue
        module, title = _EXTRAS.get(name, ("wandb", ""))
        if importlib.util.find_spec(module) is None:
            raise UserError(f"logger={name} needs {title}: pip install 'mfer_lightning[{name}]'.")
        if name == "comet":  # read at import; without it, warnings are sent to another company's server
            os.environ.setdefault("COMET_ERROR_TRACKING_ENABLE", "false")
        if name == "wandb":
            if options.get("mode", "auto") not in MODES:
                raise UserError(f"logger.mode={options['mode']}: {nearest(str(options['mode']), MODES)}")
            if not options.get("project", True):
                raise UserError("logger.project is empty. Name the W&B project, e.g. logger.project=mfer_lightning.")
        found[name] = checked_arguments(name, options)
    return found


def build_loggers(config: Mapping[str, Any], run_dir: Path) -> list[Logger]:
    """Build the loggers of a configuration, without sending anything yet.

    Args:
        config: plain resolved configuration.
        run_dir: the run's folder.

    Returns:
        The loggers, in the given order.

    Raises:
        UserError: as in :func:`check_loggers`, and for ``logger.mode=online`` without a key.
    """
    return [_build(name, options, config, run_dir) for name, options in check_loggers(config["logger"]).items()]


def _build(name: str, options: dict[str, Any], config: Mapping[str, Any], run_dir: Path) -> Logger:
    if name == "tensorboard":
        from mfer_lightning.tracking.tensorboard_run import RunTensorBoardLogger

        return RunTensorBoardLogger(run_dir, config, **{"images": True, **options})
    if name == "mlflow":
        from mfer_lightning.tracking.mlflow_run import RunMlflowLogger

        return RunMlflowLogger(run_dir, config, **options)
    if name == "comet":
        from mfer_lightning.tracking.comet_run import RunCometLogger

        return RunCometLogger(run_dir, config, **{"tags": _tags(config), **options})
    if name == "wandb":
        from mfer_lightning.tracking.wandb_run import RunWandbLogger

        offline = options.pop("offline", False) and options.get("mode", "auto") == "auto"
        mode = "offline" if offline else wandb_mode(options.get("mode", "auto"))
        usual = {"entity": None, "group": names.run_group(config, run_dir), "images": True, "checkpoints": True}
        return RunWandbLogger(run_dir, config, **{**usual, "tags": _tags(config), **options, "mode": mode})
    return _of_a_library(name, options, run_dir)


def _of_a_library(name: str, options: Mapping[str, Any], run_dir: Path) -> Logger:
    """Build a logger from its ``_target_``, and mix :class:`RunLogger` into its class, as in our loggers."""
    folder: dict[str, Any] = {
        "save_dir": str(run_dir),
        "root_dir": str(run_dir),
    }  # for classes with such an argument
    logger: Logger = instantiate(options, where=f"logger.{name}", base=Logger, libraries=LIBRARIES["logger"], **folder)
    kind = type(logger)
    logger.__class__ = type(kind.__name__, (RunLogger, kind), {"service": kind.__name__})
    return logger


def _tags(config: Mapping[str, Any]) -> list[str]:
    parts = (name_of(config, group) for group in ("dataset", "loss", "backbone", "attention"))
    return list(dict.fromkeys(part[:_LONGEST_TAG] for part in parts))
