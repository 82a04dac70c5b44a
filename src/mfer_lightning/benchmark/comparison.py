"""Ours against the plain baseline in several kinds of arithmetic, in turn, as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from mfer_lightning.benchmark.timing import Sample, interleaved, median, speedup
from mfer_lightning.benchmark.work import Work
from mfer_lightning.errors import UserError


def variant(baseline: str) -> str:
    """Name of the plain baseline in some arithmetic.

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
    """Time variants in turn.

    Args:
        works: :func:`variant` of each baseline, ``ours`` and perhaps ``ours_compiled`` -> one call.
        repeats: measurements of each.
        operations: of one call, in 10^9.
        work: what is measured.
        ceiling: see :func:`~mfer_lightning.benchmark.ceiling.measure`.

    Returns:
        Seconds, faces and operations a second and share of the ceiling by variant; ``ratio``, how many times quicker
        ours is than the first baseline, and ``ratios`` to each of several. Variants that do not fit the device's memory
        are named by ``out_of_memory`` and are in no table.

    Raises:
        UserError: where ours does not fit.
    """
    device = work.where
    fitting = {name: call for name, call in works.items() if _fits(call, work)}
    if "ours" not in fitting:
        raise UserError(f"batch={work.batch}: the device's memory does not hold a step. Use a smaller batch.")
    samples = interleaved(fitting, repeats, warmup=1, calls=device.calls, synchronise=device.synchronise)
    seconds = {name: median(found).wall for name, found in samples.items()}
    kinds = {variant(name): name for name in work.baselines}
    kind = {name: kinds.get(name, "bfloat16" if work.bfloat16 else "float32") for name in samples}
    missing = [name for name in works if name not in fitting]
    return {
        "device": work.device,
        "batch": work.batch,
        "size": work.size,
        "gflop": round(operations, 1),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "faces_per_second": {name: round(work.batch / value, 2) for name, value in seconds.items()},
        "gflops_per_second": {name: round(operations / value, 1) for name, value in seconds.items()},
        "share_of_gemm_ceiling": {
            name: round(operations / value / ceiling[f"gemm_{kind[name]}"], 3) for name, value in seconds.items()
        },
        **_ratios(samples),
        **(_of_processor_time(samples, operations, kind, ceiling) if device.is_cpu else {}),
        **({"out_of_memory": missing} if missing else {}),
    }


def _fits(call: Callable[[], object], work: Work) -> bool:
    try:
        call()
        work.where.synchronise()
    except torch.cuda.OutOfMemoryError:
        fits = False
    else:
        fits = True
    if not fits:  # only here is the error, with all that its frames hold, gone
        work.where.free()
    return fits


def _ratios(samples: Mapping[str, list[Sample]]) -> dict[str, Any]:
    baselines = [name for name in samples if name.startswith("naive")]
    ratios = {name: round(speedup(samples[name], samples["ours"]).wall, 3) for name in baselines}
    if not ratios:
        return {}
    return {"ratio": ratios[baselines[0]], **({"ratios": ratios} if len(ratios) > 1 else {})}


def _of_processor_time(
    samples: Mapping[str, list[Sample]], operations: float, kind: Mapping[str, str], ceiling: Mapping[str, float]
) -> dict[str, Any]:
    processor = {name: median(found).cpu for name, found in samples.items()}
    baseline = next((name for name in samples if name.startswith("naive")), "ours")
    return {
        "ratio_of_processor_time": round(speedup(samples[baseline], samples["ours"]).cpu, 3),
        "processor_seconds": {name: round(value, 3) for name, value in processor.items()},
        "share_of_gemm_ceiling_of_a_core": {
            name: round(operations / value / ceiling[f"gemm_{kind[name]}_core"], 3) for name, value in processor.items()
        },
    }
