"""What the framework costs: a training run as ``mfer train`` makes it against a bare loop over the same parts."""

from __future__ import annotations

import io
import logging
import time
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mfer_lightning.benchmark.timing import Sample, median, once, speedup
from mfer_lightning.callbacks import History
from mfer_lightning.module import FERModule
from mfer_lightning.optim import build_optimizer, build_schedule, parameter_groups
from mfer_lightning.training.build import build_datamodule, build_module
from mfer_lightning.training.build_trainer import build_trainer, precision

#: Steps at the start of an epoch that are not measured.
SKIPPED = 2


class Clock(Callback):
    """Time from the start of one training batch to the start of a later one."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.sample = Sample(0.0, 0.0)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start and stop the clocks."""
        now = Sample(time.perf_counter(), time.process_time())
        if batch_idx == SKIPPED:
            self._from = now
        elif batch_idx == self.last:
            self.sample = Sample(now.wall - self._from.wall, now.cpu - self._from.cpu)


def measure_overhead(config: Mapping[str, Any], folder: Path, steps: int, repeats: int) -> dict[str, Any]:
    """Compare the two loops, in turn, over the same network and the same faces.

    The bare loop reads the same loader and does what a step needs: preprocessing, forward pass, loss, backward pass,
    clipping, optimiser, schedule. All of Lightning, our callbacks, the running means and metrics.csv are the framework.

    Args:
        config: composed configuration of ``mfer train``.
        folder: for the run's files.
        steps: measured in each repeat.
        repeats: of both.

    Returns:
        Milliseconds a step of both, and what the framework adds in percent: by the clock and in processor time.
    """
    datamodule = build_datamodule(config)
    datamodule.setup("fit")
    last = SKIPPED + steps
    if len(datamodule.splits.train) // config["loader"]["batch_size"] <= last:
        raise ValueError(f"Expected argument `steps` to leave {SKIPPED + 1} batches of the epoch, but got {steps}.")
    for name in ("lightning.pytorch", "lightning.fabric", "mfer_lightning"):  # the table is what is to be seen
        logging.getLogger(name).setLevel(logging.ERROR)
    samples: dict[str, list[Sample]] = {"bare": [], "framework": []}
    for repeat in range(repeats + 1):
        module = build_module(config, datamodule, {})
        bare = _bare(module, datamodule, config, steps)
        module = build_module(config, datamodule, {})
        framework = _framework(module, datamodule, config, folder / str(repeat), last)
        if repeat:  # the first time warms caches up
            samples["bare"].append(bare)
            samples["framework"].append(framework)
    ratio = speedup(samples["framework"], samples["bare"])
    return {
        "steps": steps,
        "batch": config["loader"]["batch_size"],
        "milliseconds": {name: round(1000 * median(found).wall / steps, 2) for name, found in samples.items()},
        "overhead_percent": round(100 * (ratio.wall - 1), 2),
        "overhead_percent_of_processor_time": round(100 * (ratio.cpu - 1), 2),
    }


def _framework(module: FERModule, datamodule: Any, config: Mapping[str, Any], folder: Path, last: int) -> Sample:
    trainer = build_trainer(config, folder, datamodule.protocol.monitor, History(folder / "metrics.csv"))
    clock = Clock(last)
    trainer.callbacks.append(clock)  # type: ignore[attr-defined]
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, datamodule=datamodule)
    return clock.sample


def _bare(module: FERModule, datamodule: Any, config: Mapping[str, Any], steps: int) -> Sample:
    options = {k: v for k, v in config["optimizer"].items() if v is not None}
    split = {k: options.pop(k) for k in ("head_lr_scale", "center_lr_scale", "layer_decay") if k in options}
    groups = parameter_groups(
        module.network, module.objective, lr=options["lr"], weight_decay=options["weight_decay"], **split
    )
    optimizer = build_optimizer(groups, **options)
    scheduler = build_schedule(
        optimizer,
        total_steps=1000,
        steps_per_epoch=100,
        **{k: v for k, v in config["scheduler"].items() if v is not None},
    )
    bfloat16 = precision(config["trainer"]) == "bf16-mixed"
    module.train()
    batches = iter(datamodule.train_dataloader())

    def step() -> None:
        batch = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            pixels = module.preprocess(batch["image"]).contiguous(memory_format=torch.channels_last)
            total = module.objective(module.network(pixels), batch["target"])["total"]
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(module.network.parameters(), 1.0)
        optimizer.step()
        scheduler.step()

    for _ in range(SKIPPED):
        step()

    def all_steps() -> None:
        for _ in range(steps):
            step()

    return once(all_steps)
