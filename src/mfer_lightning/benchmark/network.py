"""Time training steps and forward passes of the paper's network, relative to the plain baseline and device limits."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mfer_lightning.benchmark.plain_baseline import naive_step
from mfer_lightning.benchmark.timing import interleaved, median, rates, speedup
from mfer_lightning.benchmark.workload import Work, build, faces, normalised, our_step
from mfer_lightning.errors import UserError
from mfer_lightning.inference.arithmetic import set_precision
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.nn.cost import count_gflops
from mfer_lightning.nn.regions import compile_blocks

_NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")


def measure_training(work: Work, repeats: int, ceiling: Mapping[str, float]) -> dict[str, Any]:
    """Time training steps of the baselines and of our network, in turn.

    Args:
        work: the workload.
        repeats: number of measurements of each variant.
        ceiling: see :func:`~mfer_lightning.benchmark.ceiling.measure`.

    Returns:
        The table of :func:`compare`.
    """
    naive, ours = build(work)
    pixels, target = normalised(work)
    adamw = torch.optim.AdamW(naive.train().parameters(), lr=1e-5, weight_decay=0.05)
    # autocast has no effect on the backward pass
    works = _baselines(work, lambda: naive_step(naive, adamw, pixels, target))
    networks = {"ours": ours}
    if work.compile:
        networks["ours_compiled"] = copy.deepcopy(ours)
        compile_blocks(networks["ours_compiled"])
    for name, network in networks.items():
        works[name] = partial(our_step(network, work), pixels, target)
    return compare(works, repeats, 3 * 2 * count_gflops(ours, work.size) * work.batch, work, ceiling)


def measure_inference(work: Work, repeats: int, ceiling: Mapping[str, float]) -> dict[str, Any]:
    """Time forward passes of the baselines and of our network, in turn, and compare their outputs.

    Args:
        work: the workload.
        repeats: number of measurements of each variant.
        ceiling: see :func:`~mfer_lightning.benchmark.ceiling.measure`.

    Returns:
        The table of :func:`compare`, and ``relative_difference_of_logits``: the largest difference between the logits
        of our network, in float32 and, if measured, in bfloat16, and those of the baseline in float32, relative to the
        largest logit of the baseline.
    """
    naive, ours = build(work)
    naive.eval()
    image, _ = faces(work)
    pixels, _ = normalised(work)
    operations = 2 * count_gflops(ours, work.size) * work.batch
    models = {"ours": _model(ours, work)}
    if work.compile:
        models["ours_compiled"] = _model(copy.deepcopy(ours), work)
    with work.where.computing_in("float32"):
        with torch.inference_mode():
            wanted = torch.stack(naive(pixels)).sum(0)
        differences = {"float32": _difference(models["ours"](image)["logits"], wanted)}
    if work.bfloat16:
        for model in models.values():
            set_precision(model, "bf16-mixed")
        differences["bfloat16"] = _difference(models["ours"](image)["logits"], wanted)
    if work.compile:
        compile_blocks(models["ours_compiled"].network)
    works = _baselines(work, torch.no_grad()(lambda: naive(pixels)))
    works |= {name: partial(model, image) for name, model in models.items()}
    return {**compare(works, repeats, operations, work, ceiling), "relative_difference_of_logits": differences}


def variant(baseline: str) -> str:
    """Return the name of the plain baseline in a precision.

    Example:
        >>> variant("float32"), variant("bfloat16")
        ('naive', 'naive_bfloat16')
    """
    return "naive" if baseline == "float32" else f"naive_{baseline}"


def compare(
    works: Mapping[str, Callable[[], object]],
    repeats: int,
    operations: float,
    work: Work,
    ceiling: Mapping[str, float],
) -> dict[str, Any]:
    """Time several variants in turn.

    Args:
        works: name -> function to time; names are :func:`variant` of each baseline, ``ours``, and with ``compile``,
            ``ours_compiled``.
        repeats: number of measurements of each.
        operations: operations per call, in 10^9.
        work: the workload.
        ceiling: see :func:`~mfer_lightning.benchmark.ceiling.measure`.

    Returns:
        By variant: seconds per call, faces per second, GFLOP/s, and the fraction of the rate of matrix products.
        ``ratio`` is the speed-up of ``ours`` over the first baseline; ``ratios`` are those over each baseline if there
        are several. On the CPU, seconds, fractions and ratio are also given in processor time. With ``compile``,
        ``seconds_of_first_call`` includes compilation. Variants that do not fit into the memory of the device are
        listed in ``out_of_memory`` and left out of the tables.

    Raises:
        UserError: if ``ours`` does not fit into memory.
    """
    device = work.where
    fitting, first_call = {}, {}
    for name, call in works.items():
        began = time.perf_counter()
        if _fits(call, work):
            fitting[name] = call
            first_call[name] = round(time.perf_counter() - began, 2)
    if "ours" not in fitting:
        raise UserError(f"batch={work.batch}: a step does not fit into the device's memory. Use a smaller batch.")
    samples = interleaved(fitting, repeats, device.calls, device.synchronise)
    taken = {name: median(found) for name, found in samples.items()}
    of_baselines = {variant(name): name for name in work.baselines}
    ours = "bfloat16" if work.bfloat16 else "float32"

    def share(clock: str, of: str = "") -> dict[str, float]:
        """Return operations per second relative to matrix products in the same precision."""
        peak = {name: ceiling[f"gemm_{of_baselines.get(name, ours)}{of}"] for name in taken}
        return {name: round(operations / getattr(taken[name], clock) / peak[name], 3) for name in taken}

    table: dict[str, Any] = {
        "device": work.device,
        "batch": work.batch,
        "size": work.size,
        "gflop": round(operations, 1),
        "seconds": {name: round(seconds.wall, 4) for name, seconds in taken.items()},
        "faces_per_second": rates(samples, work.batch, 2),
        "gflops_per_second": rates(samples, operations),
        "share_of_gemm_ceiling": share("wall"),
    }
    ratios = {name: speedup(found, samples["ours"]) for name, found in samples.items() if name in of_baselines}
    if ratios:
        first, *others = ratios.values()
        table["ratio"] = round(first.wall, 3)
        if others:
            table["ratios"] = {name: round(ratio.wall, 3) for name, ratio in ratios.items()}
        if device.is_cpu:
            table["ratio_of_processor_time"] = round(first.cpu, 3)
    if device.is_cpu:
        table["processor_seconds"] = {name: round(seconds.cpu, 3) for name, seconds in taken.items()}
        table["share_of_gemm_ceiling_of_a_core"] = share("cpu", "_core")
    if work.compile:
        table["seconds_of_first_call"] = first_call
    if len(fitting) < len(works):
        table["out_of_memory"] = [name for name in works if name not in fitting]
    return table


def _fits(call: Callable[[], object], work: Work) -> bool:
    try:
        call()
        work.where.synchronise()
    except torch.cuda.OutOfMemoryError:
        fits = False
    else:
        fits = True
    if not fits:  # after the except block, when the traceback no longer keeps tensors alive
        work.where.free()
    return fits


def _baselines(work: Work, call: Callable[[], object]) -> dict[str, Callable[[], object]]:
    return {variant(name): work.where.computing_in(name)(call) for name in work.baselines}


def _model(network: MFER, work: Work) -> FERModel:
    return FERModel(network.to(memory_format=torch.channels_last), Preprocess(size=work.size).to(work.device), _NAMES)


def _difference(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted).abs().max() / wanted.abs().max())
