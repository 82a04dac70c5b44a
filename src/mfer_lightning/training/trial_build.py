"""The parts of a training built on trial, without data and without memory, so that a mistake is known at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mfer_lightning.callbacks import EarlyStop
from mfer_lightning.config.instantiate import described
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.losses import class_weights_from_counts
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.nn.cost import count_gflops
from mfer_lightning.optim import build_optimizer, build_schedule
from mfer_lightning.training.build import build_datamodule, build_losses, build_mixup, early_stop_options
from mfer_lightning.training.checks import look_up

#: Classes that a network on trial has where only the data's files name them.
SOME_CLASSES = 7

Config = Mapping[str, Any]


def rehearse(config: Config) -> None:
    """Build datamodule, network, losses, optimiser and schedule on trial.

    The network is built without memory (torch's meta device), and sees one face of the size that is asked for. Nothing
    is read but the names of options; the state of the random numbers is left as it was.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Raises:
        UserError: for what a constructor refuses, naming the option.
    """
    state = torch.random.get_rng_state()
    try:
        _check_machine(config)
        _check_weights(str(config["weights"]))
        datamodule = build_datamodule(config)
        with described("preprocess"):
            Preprocess(**config["preprocess"])
        with described("mixup"):
            build_mixup(config)
        with described("early_stopping"):
            EarlyStop(**early_stop_options(config, datamodule.protocol.monitor))
        _rehearse_optimizer(config)
        classes = len(datamodule.protocol.class_names) or SOME_CLASSES
        width = _rehearse_network(config, datamodule, classes)
        scheme = look_up(config, "loss.classification.class_weights")
        if isinstance(scheme, str) and scheme != "none":
            with described("loss.classification.class_weights"):
                class_weights_from_counts((1,) * classes, scheme)
        build_losses(_without_numbers(config["loss"]), classes, width, (1,) * classes)
    finally:
        torch.random.set_rng_state(state)


def _check_machine(config: Config) -> None:
    accelerator = config["trainer"]["accelerator"]
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here["gpu"] = here["cuda"] or here["mps"]
    if not here.get(accelerator, True):
        raise UserError(
            f"trainer.accelerator={accelerator}: torch sees no such device on this machine. Use trainer=auto, cpu or "
            "ddp_cpu, or install a torch that is built for the GPU."
        )


def _check_weights(weights: str) -> None:
    if weights not in ("none", "imagenet") and not Path(weights).expanduser().is_file():
        raise UserError(
            f"weights={weights}: there is no such file. Legal are none, imagenet, or a .safetensors, .pth or .ckpt "
            "file."
        )


def _rehearse_optimizer(config: Config) -> None:
    options = {k: v for k, v in config["optimizer"].items() if v is not None}
    for name in ("head_lr_scale", "center_lr_scale", "layer_decay"):
        options.pop(name, None)
    schedule = {k: v for k, v in config["scheduler"].items() if v is not None and k != "warmup_epochs"}
    with described("optimizer"):
        optimizer = build_optimizer([{"params": [torch.nn.Parameter(torch.zeros(1))]}], **options)
    with described("scheduler"):
        build_schedule(optimizer, total_steps=config["trainer"]["max_epochs"], steps_per_epoch=1, **schedule)


def _rehearse_network(config: Config, datamodule: FaceDataModule, classes: int) -> int:
    backbone = {k: v for k, v in config["backbone"].items() if v is not None}
    try:
        with described("network"), torch.device("meta"):
            network = MFER(backbone, classes, attention=config["attention"], head=config["head"])
    except (RuntimeError, NotImplementedError):  # a constructor that reads what it computes; the real one will tell
        return 1
    size = int(config["preprocess"]["size"] or datamodule.size or 224)
    try:
        count_gflops(network, size)
    except NotImplementedError:
        pass
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"preprocess.size={size}: the network cannot take faces of this size ({error}).") from error
    return int(network.feature_dim)


def _without_numbers(loss: Config) -> dict[str, Any]:
    """Leave out class weights, which stand for the data's classes."""
    plain: dict[str, Any] = copy.deepcopy(dict(loss))
    if isinstance(plain["classification"], dict):
        plain["classification"].pop("class_weights", None)
    return plain
