"""Reject devices, processes and precisions that this machine or its launcher does not support."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from mfer_lightning.config.precision import configured_precision
from mfer_lightning.data.workers import check_workers
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: Environment variables set by launchers of multi-machine jobs.
LAUNCHERS = ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "GROUP_RANK", "NODE_RANK")


def check_hardware(config: Mapping[str, Any]) -> None:
    """Reject devices, processes and precisions that are not available here.

    Args:
        config: plain resolved configuration of ``mfer train``, each value legal by itself.

    Raises:
        UserError: if one is not available; the message names the option and the remedy.
    """
    trainer, batch = config["trainer"], config["loader"]["batch_size"]
    check_workers(config["loader"]["num_workers"])
    on_cpu = trainer["accelerator"] == "cpu" or (trainer["accelerator"] == "auto" and not torch.cuda.is_available())
    if on_cpu and configured_precision(trainer) == "16-mixed":
        raise UserError("trainer.precision=16-mixed needs a GPU. On the CPU, use bf16-mixed, 32-true or auto.")
    devices, cores = device_count(trainer["devices"]), os.cpu_count() or 1
    if on_cpu and devices > cores:
        raise UserError(
            f"trainer.devices={trainer['devices']}: on the CPU, each device is a separate process, and this machine "
            f"has {counted(cores, 'core')}. The value must be at most {cores}."
        )
    ranks = max(devices * trainer["num_nodes"], 1)
    if batch % ranks:
        raise UserError(
            f"loader.batch_size={batch} cannot be divided among {ranks} devices. Use a multiple of {ranks}, "
            f"e.g. {-(-batch // ranks) * ranks}."
        )
    if on_cpu and trainer["sync_batchnorm"]:
        raise UserError(
            "trainer.sync_batchnorm=true needs GPUs, because torch does not support it on the CPU. Remove it. A "
            "network without batch norms, such as backbone=convnext_atto, does not need it."
        )
    if trainer["num_nodes"] > 1 and not any(name in os.environ for name in LAUNCHERS):
        raise UserError(
            f"trainer.num_nodes={trainer['num_nodes']}: a launcher must start a process on each machine. Use "
            "trainer=slurm under srun, or torchrun; for a single machine, use trainer.num_nodes=1."
        )


def check_accelerator(accelerator: str) -> None:
    """Reject a device type that torch does not find on this machine.

    Args:
        accelerator: value of ``trainer.accelerator``.

    Raises:
        UserError: if there is no such device; the message names the remedy.
    """
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here["gpu"] = here["cuda"] or here["mps"]
    if not here.get(accelerator, True):
        raise UserError(
            f"trainer.accelerator={accelerator}: torch finds no such device on this machine. Use trainer=auto, cpu or "
            "ddp_cpu, or install a torch that is built for the GPU."
        )


def device_count(devices: Any) -> int:
    """Return the number of devices that ``trainer.devices`` requests, 0 if it depends on the machine.

    Example:
        >>> [device_count(d) for d in (2, "2", [0, 3], "0,1", "auto", -1)]
        [2, 2, 2, 2, 0, 0]
    """
    if isinstance(devices, list):
        return len(devices)
    text = str(devices)
    if "," in text:
        return len(text.split(","))
    return int(text) if text.isdigit() else 0
