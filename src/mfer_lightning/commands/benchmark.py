"""``mfer benchmark``: how fast this is here, against a plain baseline and what the machine can do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError, nearest

#: Parts in the order in which they run, and what each measures.
PARTS = {
    "train": "a training step",
    "inference": "a forward pass",
    "small": "the small model of experiment=ferplus_small, files to weights",
    "loader": "faces read and normalised",
    "overhead": "what the framework adds to a bare loop",
    "startup": "seconds to the help and to the first step",
    "memory": "peak memory of training",
    "ranks": "one rank with all threads against as many ranks of one thread",
}

#: Faces a step in ``ranks``: the embedded dataset's, and `mfer train`'s. Gradients to be sent do not grow with them.
RANK_BATCHES = (64, 256)


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer benchmark``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0.
    """
    return run_verb("benchmark", _benchmark, arguments)


def _benchmark(config: dict[str, Any]) -> int:
    parts = list(PARTS) if config["parts"] == "all" else _parts(config["parts"])
    for name in ("repeats", "batch", "size", "steps", "faces"):
        if config[name] < 1:
            raise UserError(f"{name}={config[name]}: the value must be at least 1.")
    import torch

    from mfer_lightning.benchmark.report import environment, show
    from mfer_lightning.files import write_json
    from mfer_lightning.memory import keep_freed_memory

    threads = config["threads"] or os.cpu_count() or 1
    if threads < 1:
        raise UserError(f"threads={threads}: the value must be at least 1.")
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes that are measured from outside
    keep_freed_memory()
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    result: dict[str, Any] = {"environment": environment(threads), "parts": {}}
    show("environment", result["environment"])
    for part in parts:
        result["parts"][part] = _measure(part, config, threads, result)
        show(part, result["parts"][part])
        if config["output"]:
            write_json(Path(config["output"]).expanduser(), result)  # after each part: long runs get interrupted
    if config["output"]:
        print(f"Written: {config['output']}")
    return 0


def _parts(given: Any) -> list[str]:
    wanted = given if isinstance(given, list) else [given]
    for part in wanted:
        if part not in PARTS:
            raise UserError(f"parts={part}: there is no such part: {nearest(str(part), PARTS)}")
    if not wanted:
        raise UserError(f"parts=[]: name at least one of {', '.join(PARTS)}, or parts=all.")
    return [part for part in PARTS if part in wanted]


def _measure(part: str, config: dict[str, Any], threads: int, result: dict[str, Any]) -> Any:
    from mfer_lightning.benchmark import ceiling, loading, processes, training
    from mfer_lightning.training.build_trainer import precision

    repeats = config["repeats"]
    bfloat16 = precision({"precision": config["precision"], "accelerator": "cpu"}) == "bf16-mixed"
    work = training.Work(config["backbone"], config["options"], config["size"], config["batch"], bfloat16)
    if part in ("train", "inference"):
        result.setdefault("ceiling", ceiling.measure())  # once, and only where it is compared with
        measure = training.measure_training if part == "train" else training.measure_inference
        return measure(work, repeats, result["ceiling"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measures: dict[str, Callable[[], Any]] = {
            "small": lambda: loading.measure_small(folder, config["faces"], config["workers"], repeats, bfloat16),
            "loader": lambda: loading.measure_loader(folder, config["faces"], (0, config["workers"]), repeats),
            "overhead": lambda: _overhead(folder, config["steps"], repeats),
            "startup": lambda: processes.measure_startup(repeats),
            "memory": lambda: processes.measure_memory(vars(work)),
            "ranks": lambda: [processes.measure_ranks(threads, repeats, batch) for batch in RANK_BATCHES],
        }
        return measures[part]()


def _overhead(folder: Path, steps: int, repeats: int) -> Any:
    from mfer_lightning.commands.overhead import SKIPPED, measure_overhead
    from mfer_lightning.config.compose import compose_train

    batch = 32  # of the embedded dataset's network: near 50 ms a step on two cores
    overrides = [f"dataset.train_size={batch * (steps + SKIPPED + 2)}", "dataset.val_size=32", "dataset.test_size=32"]
    overrides += [f"loader.batch_size={batch}", "loader.num_workers=0", "trainer.max_epochs=1", "logger=csv"]
    overrides += ["ema=none", "trainer=cpu", "trainer.limit_val_batches=0", f"paths.cache={folder}/cache"]
    return measure_overhead(compose_train(overrides), folder, steps, repeats)
