"""Weights & Biases and TensorBoard, where asked for; ``metrics.csv`` is written in any case."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from mfer_lightning.errors import UserError, nearest

LOGGERS = ("csv", "none", "wandb", "tensorboard")


def build_loggers(config: Mapping[str, Any], run_dir: Path) -> list[Logger]:
    """Build the loggers that ``logger`` names.

    Args:
        config: plain resolved configuration.
        run_dir: the run's folder; its parent's name is the group of the run.

    Returns:
        None, or one logger.

    Raises:
        UserError: for an unknown name, an unknown mode, or a missing package.
    """
    options = config["logger"]
    name = options["name"]
    if name in ("csv", "none"):
        return []
    if name == "tensorboard":
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError("logger=tensorboard needs TensorBoard: pip install 'mfer_lightning[tensorboard]'.")
        from lightning.pytorch.loggers import TensorBoardLogger

        return [TensorBoardLogger(str(run_dir), name="tensorboard", version="")]
    if name == "wandb":
        return [_wandb(config, run_dir)]
    raise UserError(f"logger.name={name}: {nearest(name, LOGGERS)}")


def _wandb(config: Mapping[str, Any], run_dir: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    options = config["logger"]
    mode = options["mode"]
    if mode not in ("auto", "online", "offline", "disabled"):
        raise UserError(f"logger.mode={mode}: legal are auto, online, offline, disabled.")
    if mode == "auto":
        mode = "online" if _has_key() else "offline"
    return WandbLogger(
        name=run_dir.name,
        save_dir=str(run_dir),
        project=options["project"],
        entity=options["entity"],
        group=run_dir.parent.name,
        tags=[config["dataset"]["name"], config["loss"]["name"], config["backbone"]["name"]],
        config=dict(config),
        mode=mode,
    )


def close_loggers(loggers: Sequence[Logger]) -> None:
    """Finish the runs that loggers have open, so that the next job of a sweep starts its own."""
    for logger in loggers:
        if type(logger).__name__ == "WandbLogger":
            logger.experiment.finish()  # type: ignore[attr-defined]


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    return netrc.is_file() and "wandb" in netrc.read_text(encoding="utf-8", errors="ignore")
