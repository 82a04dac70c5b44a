"""Measurements in separate processes: start-up time, peak memory, and one rank compared with several."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mfer_lightning.benchmark.timing import interleaved, median
from mfer_lightning.benchmark.workload import Work, bare_step

#: Overrides for a short run on the default dataset.
SHORT = ("logger=csv", "trainer.max_epochs=1", "trainer.limit_val_batches=1", "evaluation.embedding_points=0")

#: Program that runs the command line up to the end of the first backward pass.
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


def measure_startup(repeats: int) -> dict[str, Any]:
    """Measure the time of ``mfer --help``, and of ``mfer train`` until the end of the first backward pass.

    Training uses the built-in dataset with 512 faces; a warm-up run builds its cache.

    Args:
        repeats: number of measurements of each.

    Returns:
        ``help_seconds`` and ``first_step_seconds``, medians of wall-clock time.

    Raises:
        RuntimeError: if a process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        train = ["train", "dataset.train_size=512", "dataset.val_size=64", "dataset.test_size=64", *SHORT]
        train += [f"paths.runs={folder}/runs", f"paths.cache={folder}/cache", "resume=never", "trainer.accelerator=cpu"]
        works: dict[str, Callable[[], object]] = {
            "help_seconds": lambda: _run("-m", "mfer_lightning", "--help"),
            "first_step_seconds": lambda: _run("-c", _FIRST_STEP, *train),
        }
        return {name: round(median(found).wall, 2) for name, found in interleaved(works, repeats).items()}


def measure_memory(work: Work) -> dict[str, Any]:
    """Measure the peak memory of training, with and without gradient checkpointing.

    On the CPU, this is the memory of the process; on a GPU, that of torch's tensors.

    Args:
        work: the workload.

    Returns:
        For ``plain`` and ``checkpointing``: ``peak_gb``, and ``of_the_steps_gb`` (the increase during the steps), in
        GB; ``ratio``, the peak without checkpointing divided by the peak with it.
    """
    table: dict[str, Any] = {}
    for name in ("plain", "checkpointing"):
        # a new process each time, since peaks do not decrease
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own:
            before, peak = own.submit(peak_of_steps, work, name == "checkpointing").result()
        table[name] = {"peak_gb": round(peak / 1e9, 2), "of_the_steps_gb": round((peak - before) / 1e9, 2)}
    ratio = round(table["plain"]["peak_gb"] / max(table["checkpointing"]["peak_gb"], 1e-3), 3)
    return {"device": work.device, "batch": work.batch, **table, "ratio": ratio}


def peak_of_steps(work: Work, checkpointing: bool) -> tuple[int, int]:
    """Train for two steps, and return the peak memory in bytes before the steps and overall."""
    step = bare_step(work, checkpointing)
    before = work.where.peak_bytes()
    for _ in range(2):
        step()
    work.where.synchronise()
    return before, work.where.peak_bytes()


def measure_ranks(threads: int, repeats: int, batch: int) -> dict[str, Any]:
    """Compare one rank that uses several threads with several single-threaded ranks, at the same batch size.

    The throughput is that of the last epoch in ``metrics.csv``, because the first epoch includes start-up.

    Args:
        threads: threads of the single rank, and number of single-threaded ranks.
        repeats: number of measurements of each, in turn.
        batch: faces per step over all ranks; an epoch has 16 steps.

    Returns:
        ``faces_per_second`` of ``one_rank`` and ``ranks``, and their ``ratio`` (several ranks / one rank).

    Raises:
        RuntimeError: if a process fails.
    """
    common = [f"dataset.train_size={16 * batch}", "dataset.val_size=64", "dataset.test_size=64"]
    common += [*SHORT, "trainer.max_epochs=2", f"loader.batch_size={batch}", "resume=never"]
    rates: dict[str, list[float]] = {"one_rank": [], "ranks": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for name, number, more in (
                ("one_rank", threads, ("trainer=cpu",)),
                ("ranks", 1, ("trainer=ddp_cpu", f"trainer.devices={threads}")),
            ):
                runs = Path(folder) / f"{name}{repeat}"
                where = (f"paths.runs={runs}", f"paths.cache={folder}/cache")
                _run("-m", "mfer_lightning", "train", *more, *common, *where, OMP_NUM_THREADS=str(number))
                with next(runs.rglob("metrics.csv")).open(newline="", encoding="utf-8") as file:
                    rates[name].append(float(list(csv.DictReader(file))[-1]["images_per_second"]))
    ratio = statistics.median(r / o for o, r in zip(rates["one_rank"], rates["ranks"], strict=True))
    return {
        "ranks": threads,
        "batch": batch,
        "faces_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "ratio": round(ratio, 3),
    }


def _run(*arguments: str, **environment: str) -> None:
    """Run Python with arguments and additional environment variables."""
    done = subprocess.run(  # noqa: S603  # our own interpreter and arguments
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=1800,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments[:3])} ... exited with code {done.returncode}:\n{done.stderr[-2000:]}")
