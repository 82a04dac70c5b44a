"""What the framework costs: a training run as ``mfer train`` makes it against a bare loop over the same parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mfer_lightning.benchmark.device import Device
from mfer_lightning.benchmark.fit import SKIPPED, timed_fit
from mfer_lightning.benchmark.timing import Sample, median, once, speedup
from mfer_lightning.config.compose import compose_train
from mfer_lightning.module import FERModule
from mfer_lightning.optim import build_optimizer, build_schedule, parameter_groups
from mfer_lightning.training.build import build_datamodule, build_module
from mfer_lightning.training.build_trainer import precision

#: Faces a step of the embedded dataset's network: near 50 ms a step on two cores.
BATCH = 32


def measure_overhead(folder: Path, steps: int, repeats: int) -> dict[str, Any]:
    """Compare the two loops, in turn, over the same network and the same faces.

    The bare loop reads the same loader and does what a step needs: preprocessing, forward pass, loss, backward pass,
    clipping, optimiser, schedule. All of Lightning, our callbacks, the running means and metrics.csv are the framework.

    Args:
        folder: for the runs' files.
        steps: measured in each repeat.
        repeats: of both.

    Returns:
        Milliseconds a step of both, and what the framework adds in percent: by the clock and in processor time.
    """
    overrides = [f"dataset.train_size={BATCH * (steps + SKIPPED + 2)}", "dataset.val_size=32", "dataset.test_size=32"]
    overrides += [f"loader.batch_size={BATCH}", "loader.num_workers=0", "trainer.max_epochs=1", "logger=csv"]
    overrides += ["ema=none", "trainer=cpu", "trainer.limit_val_batches=0", f"paths.cache={folder}/cache"]
    config = compose_train(overrides)
    datamodule = build_datamodule(config)
    datamodule.setup("fit")
    samples: dict[str, list[Sample]] = {"bare": [], "framework": []}
    for repeat in range(repeats + 1):
        module = build_module(config, datamodule, {})
        bare = _bare(module, datamodule, config, steps)
        module = build_module(config, datamodule, {})
        framework = timed_fit(module, datamodule, config, folder / str(repeat), steps, Device("cpu"))
        if repeat:  # the first time warms caches up
            samples["bare"].append(bare)
            samples["framework"].append(framework)
    ratio = speedup(samples["framework"], samples["bare"])
    return {
        "steps": steps,
        "batch": BATCH,
        "milliseconds": {name: round(1000 * median(found).wall / steps, 2) for name, found in samples.items()},
        "overhead_percent": round(100 * (ratio.wall - 1), 2),
        "overhead_percent_of_processor_time": round(100 * (ratio.cpu - 1), 2),
    }


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
