"""Compare ``mfer train`` with a bare training loop: end-to-end throughput, and the overhead of the framework."""

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

from mfer_lightning.benchmark.device import CPU, Device
from mfer_lightning.benchmark.loading import write_faces
from mfer_lightning.benchmark.timing import Sample, median, once, rates, speedup
from mfer_lightning.benchmark.workload import Work, bare_step
from mfer_lightning.callbacks import History, RunCheckpoint
from mfer_lightning.config.compose import compose_train
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.module import FERModule
from mfer_lightning.optim import optimizer_for, schedule_for
from mfer_lightning.training.build import build_datamodule, build_module
from mfer_lightning.training.build_trainer import build_trainer, precision

#: Minimum number of steps at the start of an epoch that are not measured.
SKIPPED = 2
#: Batches that each worker prefetches (see ``FaceDataModule``). They are not timed, because they would make the loader
#: look faster.
AHEAD = 4
#: Batch size for the network of the built-in dataset: about 50 ms per step on two cores.
BATCH = 32


def measure_end_to_end(folder: Path, work: Work, workers: int, steps: int, repeats: int, stored: int) -> dict[str, Any]:
    """Time training steps of ``mfer train``, including loader and callbacks, and as many bare steps, in turn.

    Args:
        folder: folder for faces and runs.
        work: the workload; ``baselines`` and ``compile`` are ignored.
        workers: number of loader workers.
        steps: steps timed in each repeat.
        repeats: number of repeats of both.
        stored: side of the stored face images in pixels.

    Returns:
        ``faces_per_second`` of both, and ``share_of_bare_step``: the speed of ``mfer train`` relative to bare steps.
    """
    skipped = SKIPPED + AHEAD * workers
    write_faces(folder / "faces", work.batch * (skipped + steps + 1), side=stored)
    config = _end_to_end_config(folder, work, workers, stored)
    bare = bare_step(work)
    bare()
    samples: dict[str, list[Sample]] = {"bare_step": [], "mfer_train": []}
    for repeat in range(repeats):
        samples["bare_step"].append(once(bare, steps, work.where.synchronise))
        samples["mfer_train"].append(_timed_fit(config, folder / f"run{repeat}", steps, work.where, skipped))
        work.where.free()
    share = median(samples["bare_step"]).wall / median(samples["mfer_train"]).wall
    return {
        "device": work.device,
        "batch": work.batch,
        "workers": workers,
        "steps": steps,
        "faces_per_second": rates(samples, work.batch),
        "share_of_bare_step": round(share, 3),
    }


def _end_to_end_config(folder: Path, work: Work, workers: int, stored: int) -> dict[str, Any]:
    overrides = ["dataset=folder", f"dataset.size={stored}", f"preprocess.size={work.size}", "loss=ce", "logger=csv"]
    overrides += [f"loader.batch_size={work.batch}", f"loader.num_workers={workers}", "trainer.max_epochs=1"]
    overrides += [f"trainer.accelerator={work.where.accelerator}", "trainer.limit_val_batches=0"]
    overrides += [f"trainer.precision={'bf16-mixed' if work.bfloat16 else '32-true'}"]
    config = compose_train(overrides)
    config["backbone"] |= {"name": work.backbone, "options": dict(work.options), "drop_path_rate": 0.25}
    config["dataset"]["root"] = str(folder / "faces")
    config["paths"]["cache"] = str(folder / "cache")
    return config


def measure_overhead(folder: Path, steps: int, repeats: int) -> dict[str, Any]:
    """Measure the overhead of the framework: compare a bare loop with ``mfer train`` on the same network and faces.

    The bare loop uses the same loader and does only the necessary work of a step: preprocessing, forward pass, loss,
    backward pass, gradient clipping, optimiser, schedule. Lightning, our callbacks, the running means and
    ``metrics.csv`` count as overhead.

    Args:
        folder: folder for the runs' files.
        steps: steps measured in each repeat.
        repeats: number of repeats of both loops, in turn.

    Returns:
        Milliseconds per step of both loops, and the overhead in percent, in wall-clock and in processor time.
    """
    overrides = [f"dataset.train_size={BATCH * (steps + SKIPPED + 2)}", "dataset.val_size=32", "dataset.test_size=32"]
    overrides += [f"loader.batch_size={BATCH}", "loader.num_workers=0", "trainer.max_epochs=1", "logger=csv"]
    overrides += ["ema=none", "trainer=cpu", "trainer.limit_val_batches=0", f"paths.cache={folder}/cache"]
    config = compose_train(overrides)
    samples: dict[str, list[Sample]] = {"bare": [], "framework": []}
    for repeat in range(repeats + 1):
        bare, framework = _bare_loop(config, steps), _timed_fit(config, folder / str(repeat), steps, CPU)
        if repeat:  # the first repeat warms up the caches
            samples["bare"].append(bare)
            samples["framework"].append(framework)
    ratio = speedup(samples["framework"], samples["bare"])
    return {
        "steps": steps,
        "batch": BATCH,
        "milliseconds": {name: round(1000 * median(found).wall, 2) for name, found in samples.items()},
        "overhead_percent": round(100 * (ratio.wall - 1), 2),
        "overhead_percent_of_processor_time": round(100 * (ratio.cpu - 1), 2),
    }


def _bare_loop(config: Mapping[str, Any], steps: int) -> Sample:
    module, datamodule = _build_run(config)
    optimizer = optimizer_for(module.network, module.objective, config["optimizer"], module.method)
    scheduler = schedule_for(optimizer, config["scheduler"], total_steps=1000, steps_per_epoch=100)
    bfloat16 = precision(config["trainer"]) == "bf16-mixed"
    module.train()
    batches = iter(datamodule.train_dataloader())

    def step() -> None:
        batch = next(batches)
        with CPU.autocast(bfloat16):
            pixels = module.preprocess(batch["image"]).contiguous(memory_format=torch.channels_last)
            total = module.objective(module.network(pixels), batch["target"])["total"]
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(module.network.parameters(), 1.0)
        optimizer.step()
        scheduler.step()

    for _ in range(SKIPPED):
        step()
    return once(step, steps)


class _Clock(Callback):
    """Read the clocks at the start of one training batch and of a later one."""

    def __init__(self, first: int, last: int, device: Device) -> None:
        self.batches, self.device = (first, last), device
        self.readings: list[Sample] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Read the clocks."""
        if batch_idx in self.batches:
            self.device.synchronise()
            self.readings.append(Sample(time.perf_counter(), time.process_time()))


def _build_run(config: Mapping[str, Any]) -> tuple[FERModule, FaceDataModule]:
    """Build module and data of a run, ready for training."""
    datamodule = build_datamodule(config)
    datamodule.setup("fit")
    return build_module(config, datamodule, {}), datamodule


def _timed_fit(config: Mapping[str, Any], folder: Path, steps: int, device: Device, skipped: int = SKIPPED) -> Sample:
    """Train for one epoch with the trainer that ``mfer train`` builds, and time some of its steps.

    Args:
        config: composed configuration of ``mfer train``; an epoch has more than ``skipped + steps`` batches.
        folder: folder for the run's files.
        steps: number of steps to time.
        device: device of the trainer.
        skipped: number of steps before the first timed one.

    Returns:
        The mean time of the timed steps.
    """
    for name in ("lightning.pytorch", "lightning.fabric", "mfer_lightning"):  # print only the table
        logging.getLogger(name).setLevel(logging.ERROR)
    module, datamodule = _build_run(config)
    trainer: Any = build_trainer(config, folder, datamodule.protocol.monitor, History(folder / "metrics.csv"))
    clock = _Clock(skipped, skipped + steps, device)
    # Checkpoints would be written at the end of the epoch, after the timed steps. They can be several
    # gigabytes in size and are not needed.
    trainer.callbacks = [*(kept for kept in trainer.callbacks if not isinstance(kept, RunCheckpoint)), clock]
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, datamodule=datamodule)
    start, end = clock.readings
    return Sample((end.wall - start.wall) / steps, (end.cpu - start.cpu) / steps)
