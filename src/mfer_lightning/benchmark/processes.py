"""What is measured from outside, in processes of their own: start-up, memory, and one rank against two."""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: A run as short as can be, on the default dataset.
SHORT = ("logger=csv", "trainer.max_epochs=1", "trainer.limit_val_batches=1", "evaluation.embedding_points=0")

#: Runs the command line up to the end of the first training step.
_FIRST_STEP = """
import os, sys
from mfer_lightning.cli import main
import mfer_lightning.module as module
plain = module.FERModule.training_step
def stop(self, batch, batch_idx):
    plain(self, batch, batch_idx).backward()
    os._exit(0)
module.FERModule.training_step = stop
main(sys.argv[1:])
"""

#: Prints the peak of memory over training steps, and before the first of them.
_PEAK = """
import json, sys
from mfer_lightning.benchmark.processes import peak_of_steps
print(json.dumps(peak_of_steps(**json.loads(sys.argv[1]))))
"""


def measure_startup(repeats: int) -> dict[str, Any]:
    """Seconds to the end of ``mfer --help``, and from the command to the end of the first step of ``mfer train``.

    The first step is that of the embedded dataset with 512 faces, whose cache is built beforehand.
    """
    with tempfile.TemporaryDirectory() as folder:
        train = ["train", "dataset.train_size=512", "dataset.val_size=64", "dataset.test_size=64", *SHORT]
        train += [f"paths.runs={folder}/runs", f"paths.cache={folder}/cache", "resume=never", "trainer.accelerator=cpu"]
        help_command = [sys.executable, "-m", "mfer_lightning", "--help"]
        first_command = [sys.executable, "-c", _FIRST_STEP, *train]
        _run(first_command)  # builds the cache, warms the disk
        _run(help_command)
        taken: dict[str, list[float]] = {"help_seconds": [], "first_step_seconds": []}
        for _ in range(repeats):
            for name, command in (("help_seconds", help_command), ("first_step_seconds", first_command)):
                start = time.perf_counter()
                _run(command)
                taken[name].append(time.perf_counter() - start)
    return {name: round(statistics.median(values), 2) for name, values in taken.items()}


def measure_memory(work: dict[str, Any]) -> dict[str, Any]:
    """Peak memory in GB of a process that trains, with and without gradient checkpointing.

    Of the CPU it is the process's, of a GPU what torch's tensors occupy there.

    Args:
        work: fields of :class:`~mfer_lightning.benchmark.work.Work`.
    """
    table: dict[str, Any] = {}
    for name, checkpointing in (("plain", False), ("checkpointing", True)):
        text = _run([sys.executable, "-c", _PEAK, json.dumps({"checkpointing": checkpointing, "work": work})])
        before, peak = json.loads(text.strip().splitlines()[-1])
        table[name] = {"peak_gb": round(peak / 1e9, 2), "of_the_steps_gb": round((peak - before) / 1e9, 2)}
    ratio = round(table["plain"]["peak_gb"] / max(table["checkpointing"]["peak_gb"], 1e-3), 3)
    return {"device": work["device"], "batch": work["batch"], **table, "ratio": ratio}


def peak_of_steps(work: dict[str, Any], checkpointing: bool) -> tuple[int, int]:
    """Train for two steps and say how much memory was used: in a process of its own, since peaks do not fall.

    Args:
        work: fields of :class:`~mfer_lightning.benchmark.work.Work`.
        checkpointing: of gradients.

    Returns:
        Bytes at the most before the steps, and over all.
    """
    import torch

    from mfer_lightning.benchmark.work import CLASSES, Work, faces, our_step
    from mfer_lightning.nn import MFER, Preprocess

    asked = Work(**work)
    network = MFER({"name": asked.backbone, "options": asked.options, "drop_path_rate": 0.25}, CLASSES)
    network.backbone.set_checkpointing(checkpointing)
    step = our_step(network.to(asked.device), asked)
    image, label = faces(asked)
    pixels = Preprocess(size=asked.size).to(asked.device)(image)
    target = torch.nn.functional.one_hot(label, CLASSES).float()
    before = asked.where.peak_bytes()
    for _ in range(2):
        step(pixels, target)
    asked.where.synchronise()
    return before, asked.where.peak_bytes()


def measure_ranks(threads: int, repeats: int, batch: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Compare one rank of ``threads`` threads with that many ranks of one thread, at the same faces a step.

    Faces a second are those of the last epoch in ``metrics.csv``: the first one pays for starting.

    Args:
        threads: of the one rank, and number of ranks of one thread.
        repeats: measurements of each, in turn.
        batch: faces a step over all ranks; an epoch has 16 steps.
        overrides: further options of ``mfer train``.
    """
    common = [f"dataset.train_size={16 * batch}", "dataset.val_size=64", "dataset.test_size=64"]
    common += [*SHORT, "trainer.max_epochs=2", f"loader.batch_size={batch}", "resume=never", *overrides]
    rates: dict[str, list[float]] = {"one_rank": [], "ranks": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for name, number, more in (
                ("one_rank", threads, ("trainer=cpu",)),
                ("ranks", 1, ("trainer=ddp_cpu", f"trainer.devices={threads}")),
            ):
                runs = Path(folder) / f"{name}{repeat}"
                command = [sys.executable, "-m", "mfer_lightning", "train", *more, *common, f"paths.runs={runs}"]
                _run([*command, f"paths.cache={folder}/cache"], OMP_NUM_THREADS=str(number))
                with next(runs.rglob("metrics.csv")).open(newline="", encoding="utf-8") as file:
                    rates[name].append(float(list(csv.DictReader(file))[-1]["images_per_second"]))
    ratio = statistics.median(r / o for o, r in zip(rates["one_rank"], rates["ranks"], strict=True))
    return {
        "ranks": threads,
        "batch": batch,
        "faces_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "ratio": round(ratio, 3),
    }


def _run(command: Sequence[str], **environment: str) -> str:
    done = subprocess.run(  # noqa: S603  # our own interpreter and words
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=1800, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])} ... ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
