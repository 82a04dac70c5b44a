"""Estimate the disk space that a run needs, and reject the run if there is not enough."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfer_lightning.callbacks.atomic_io import tensor_bytes
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.files import require_space
from mfer_lightning.module import FERModule
from mfer_lightning.tracking.choice import chosen_loggers

#: Size of the metrics and logs, and of one number in a prediction table, in bytes.
OTHER_BYTES = 16_000_000
BYTES_A_VALUE = 24

#: Optimiser state values per weight.
SLOTS = {"adamw": 2, "sgd": 1, "lion": 1, "muon": 1, "adan": 4}


def run_bytes(config: Mapping[str, Any], module: FERModule, datamodule: FaceDataModule) -> int:
    """Estimate the size of a run: three checkpoints, predictions, features, figures.

    The checkpoints are the best, the last, and one that is being written and will replace one of them. A checkpoint
    contains the weights, their moving average, and the optimiser state.

    Args:
        config: plain resolved configuration.
        module: module of the run.
        datamodule: a datamodule that is set up.
    """
    trained = sum(p.numel() * p.element_size() for p in module.parameters())
    averaged = config["ema"]["name"] != "none" or bool(config.get("callbacks"))  # some callbacks keep an average
    states = 2 if averaged else 1
    checkpoint = states * tensor_bytes(module.state_dict()) + SLOTS.get(config["optimizer"]["name"], 2) * trained
    copies = 3 + sum(bool(options.get("checkpoints")) for options in chosen_loggers(config["logger"]).values())
    faces = len(datamodule.splits["val"]) + len(datamodule.splits["test"])
    width = int(getattr(module.network, "feature_dim", 0))
    values = 3 * len(module.class_names) + 8
    return copies * checkpoint + faces * (2 * width + BYTES_A_VALUE * values) + OTHER_BYTES


def check_space(config: Mapping[str, Any], run_dir: Path, module: FERModule, datamodule: FaceDataModule) -> None:
    """Reject a run that does not fit on the disk; existing checkpoints of a resumed run count as available space.

    Raises:
        UserError: if the space is not sufficient; the message states the space needed and available, and the location.
    """
    written = sum(f.stat().st_size for f in (run_dir / "checkpoints").glob("[!.]*.ckpt"))
    require_space(run_dir, max(0, run_bytes(config, module, datamodule) - written), "the run")
