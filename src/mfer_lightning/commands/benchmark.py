"""``mfer benchmark``: measure speed on this machine, compared with a plain baseline and the hardware limits."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError, check_choice
from mfer_lightning.files import make_folder

if TYPE_CHECKING:
    from mfer_lightning.benchmark.device import Device
    from mfer_lightning.benchmark.workload import Work

#: Precisions in which our network is measured.
PRECISIONS = ("auto", "32-true", "bf16-mixed")

#: Faces per step in the part ``ranks``: the defaults of the built-in dataset and of `mfer train`. The size of the
#: gradients to be exchanged does not depend on them.
RANK_BATCHES = (64, 256)


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer benchmark``.

    Args:
        arguments: the command-line arguments after ``benchmark``.

    Returns:
        Exit code: 0, or 1 if one of several jobs of a sweep failed.
    """
    # Hydra would read `backbone=` as a choice of conf/backbone, whose files are for training
    named = [f"backbone_name={a[9:]}" if a.startswith("backbone=") else a for a in arguments]
    return run_verb("benchmark", _benchmark, named)


def _benchmark(config: dict[str, Any]) -> int:
    for name in ("repeats", "size", "steps", "faces", "stored", "threads", "workers", "gemm"):
        least = 0 if name == "workers" else 1
        if config[name] is not None and config[name] < least:
            raise UserError(f"{name}={config[name]}: the value must be at least {least}.")
    check_choice("precision", config["precision"], PRECISIONS)
    if not str(config["backbone_name"]).startswith("convnext"):
        raise UserError(
            f"backbone={config['backbone_name']}: the plain baseline is a ConvNeXt, so only timm's ConvNeXt "
            "models can be measured, e.g. backbone=convnext_tiny."
        )
    if config["output"]:
        make_folder(Path(config["output"]).expanduser().parent)
    import torch

    from mfer_lightning.benchmark.device import find_device
    from mfer_lightning.benchmark.options import chosen_parts, left_out
    from mfer_lightning.benchmark.report import environment, show
    from mfer_lightning.files import write_json
    from mfer_lightning.memory import keep_freed_memory

    device = find_device(config["device"])
    parts = chosen_parts(config["parts"], device)
    works = _works(config, device)
    threads = config["threads"] or os.cpu_count() or 1
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for the parts that are measured in other processes
    keep_freed_memory()
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    result: dict[str, Any] = {"environment": environment(threads), "device": device.type, "parts": {}}
    show("environment", result["environment"])
    if config["parts"] == "all" and (missing := left_out(parts)):
        print(f"Left out: {', '.join(missing)}. They are measured on the CPU only (device=cpu).")
    for part in parts:
        result["parts"][part] = _measure(part, config, works, threads, result)
        show(part, result["parts"][part])
        device.free()
        if config["output"]:
            write_json(Path(config["output"]).expanduser(), result)  # after each part, in case the run is interrupted
    if config["output"]:
        print(f"Written: {config['output']}")
    return 0


def _works(config: dict[str, Any], device: Device) -> list[Work]:
    """Return one workload per batch size."""
    from mfer_lightning.benchmark.options import chosen_baselines, chosen_batches
    from mfer_lightning.benchmark.workload import Work
    from mfer_lightning.training.build_trainer import precision

    chosen = precision({"precision": config["precision"], "accelerator": device.accelerator})
    common = {
        "bfloat16": chosen == "bf16-mixed",
        "device": device.type,
        "baselines": chosen_baselines(config["baselines"], device),
        "compile": config["compile"],
    }
    batches = chosen_batches(config["batch"], device)
    return [Work(config["backbone_name"], config["options"], config["size"], batch, **common) for batch in batches]


def _measure(part: str, config: dict[str, Any], works: list[Work], threads: int, result: dict[str, Any]) -> Any:
    from mfer_lightning.benchmark import ceiling, convolutions, loading, network, processes, small_model, training

    repeats, steps, faces, smallest, largest = config["repeats"], config["steps"], config["faces"], works[0], works[-1]
    device, bfloat16 = smallest.where, smallest.bfloat16
    workers = device.workers if config["workers"] is None else config["workers"]
    if part in ("train", "inference", "convolutions") and "ceiling" not in result:  # only if a part needs it
        result["ceiling"] = ceiling.measure(device, config["gemm"])
    rates = result.get("ceiling", {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measures: dict[str, Callable[[], Any]] = {
            "train": lambda: [network.measure_training(work, repeats, rates) for work in works],
            "inference": lambda: [network.measure_inference(work, repeats, rates) for work in works],
            "convolutions": lambda: convolutions.measure_convolutions(device, largest.batch, bfloat16, repeats, rates),
            "end_to_end": lambda: training.measure_end_to_end(
                folder, smallest, workers, min(steps, device.steps), min(repeats, 3), config["stored"]
            ),
            "small": lambda: small_model.measure_small(folder, faces, workers, repeats, bfloat16),
            "loader": lambda: loading.measure_loader(
                folder, faces, (0, workers), repeats, device, stored=config["stored"]
            ),
            "overhead": lambda: training.measure_overhead(folder, steps, repeats),
            "startup": lambda: processes.measure_startup(repeats),
            "memory": lambda: processes.measure_memory(largest),
            "ranks": lambda: [processes.measure_ranks(threads, repeats, batch) for batch in RANK_BATCHES],
        }
        return measures[part]()
