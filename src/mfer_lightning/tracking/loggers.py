"""Build the loggers for Weights & Biases and TensorBoard; ``metrics.csv`` is written in any case."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from mfer_lightning.errors import UserError, nearest
from mfer_lightning.tracking import names
from mfer_lightning.tracking.wandb_account import wandb_mode

LOGGERS = ("csv", "none", "wandb", "tensorboard")

#: W&B takes no longer ones.
_LONGEST_TAG = 64


def build_loggers(config: Mapping[str, Any], run_dir: Path) -> list[Logger]:
    """Build the loggers that ``logger`` names. Nothing is started and nothing written yet.

    Args:
        config: plain resolved configuration.
        run_dir: the run's folder.

    Returns:
        None, or one logger.

    Raises:
        UserError: for an unknown name, an unknown mode, a missing package, or ``logger.mode=online`` without a key.
    """
    options = config["logger"]
    name = options["name"]
    if name in ("csv", "none"):
        return []
    if name == "tensorboard":
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError("logger=tensorboard needs TensorBoard: pip install 'mfer_lightning[tensorboard]'.")
        from mfer_lightning.tracking.tensorboard_run import RunTensorBoardLogger

        return [RunTensorBoardLogger(run_dir, config, images=options["images"])]
    if name == "wandb":
        return [_wandb(config, run_dir)]
    raise UserError(f"logger.name={name}: {nearest(name, LOGGERS)}")


def _wandb(config: Mapping[str, Any], run_dir: Path) -> Logger:
    from mfer_lightning.tracking.wandb_run import RunWandbLogger

    options = config["logger"]
    if not options["project"]:
        raise UserError("logger.project is empty: name the project at W&B, e.g. logger.project=mfer_lightning.")
    parts = (config["dataset"], config["loss"], config["backbone"], config["attention"])
    return RunWandbLogger(
        run_dir,
        config,
        project=options["project"],
        entity=options["entity"],
        group=names.run_group(config, run_dir),
        tags=list(dict.fromkeys(str(part["name"])[:_LONGEST_TAG] for part in parts)),
        mode=wandb_mode(options["mode"]),
        images=options["images"],
        checkpoints=options["checkpoints"],
    )
