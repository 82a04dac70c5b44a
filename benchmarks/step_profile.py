"""Profile a training step with torch's profiler, and print a table by kind of operator.

    python benchmarks/step_profile.py         # MFER-Base on the CPU, 224 px, batch 4, bfloat16, one thread
    python benchmarks/step_profile.py --device cuda --batch 256 --output profile.json

Times exclude nested operators. They are elapsed time on the CPU, and kernel time on a GPU.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from mfer_lightning.benchmark.workload import Work, bare_step

#: (kind, pattern of operator names); the first match is used.
KINDS = (
    ("dense 7x7 convolutions (custom operator)", r"mfer|unfold|im2col"),
    ("matrix products (linear layers, convolutions tap by tap)", r"mm\b|addmm|bmm|linear|matmul|mkldnn_linear"),
    ("other convolutions (some dense 7x7, depthwise, stem, downsampling)", r"conv"),
    ("optimiser and clipping", r"adam|foreach|lerp|addcdiv|addcmul|norm\.Scalar|linalg_vector_norm|_fused"),
    ("norms", r"norm"),
    ("GELU", r"gelu"),
    ("softmax and loss", r"softmax|nll|cross_entropy|log\b|exp\b"),
    ("copies and casts", r"copy_|_to_copy|contiguous|clone|\bto\b|Memcpy"),
    ("sums, products, residuals, drop-path", r"add|mul|sub|div|sum|mean|where|bernoulli|rand|zero|fill"),
)
REST = "the rest"


def kind_of(operator: str) -> str:
    """Return the kind of an operator by its name.

    Example:
        >>> kind_of("aten::addmm"), kind_of("aten::native_layer_norm_backward"), kind_of("aten::gelu")
        ('matrix products (linear layers, convolutions tap by tap)', 'norms', 'GELU')
    """
    return next((kind for kind, pattern in KINDS if re.search(pattern, operator, re.IGNORECASE)), REST)


def table(events: list[tuple[str, float]], steps: int) -> list[dict[str, Any]]:
    """Sum up microseconds by kind; return milliseconds per step and fractions, the largest first."""
    sums: dict[str, float] = defaultdict(float)
    for name, microseconds in events:
        sums[kind_of(name)] += microseconds
    total = sum(sums.values()) or 1.0
    rows = sorted(sums.items(), key=lambda row: -row[1])
    return [{"kind": k, "ms": round(v / 1000 / steps, 2), "share": round(v / total, 4)} for k, v in rows if v > 0]


def main() -> None:
    """Profile some steps, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, help="faces per step; 4 on the CPU, 256 on a GPU")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--precision", default="bf16-mixed", choices=("32-true", "bf16-mixed"))
    parser.add_argument("--tiny", action="store_true", help="use a tiny network, to test the script")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    batch = options.batch or (2 if options.tiny else 256 if options.device == "cuda" else 4)
    shape: dict[str, Any] = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]} if options.tiny else {}
    size = 32 if options.tiny else 224
    work = Work("convnext_base", shape, size, batch, options.precision == "bf16-mixed", options.device)
    step = bare_step(work)
    step()
    work.where.synchronise()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if options.device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        for _ in range(options.steps):
            step()
        work.where.synchronise()
    clock = "self_device_time_total" if options.device == "cuda" else "self_cpu_time_total"
    averages = [event for event in profiler.key_averages() if event.key.startswith(("aten::", "mfer"))]
    rows = table([(event.key, float(getattr(event, clock))) for event in averages], options.steps)
    print(f"| {options.device}, batch {batch}, {options.precision} | ms a step | share |\n|---|---:|---:|")
    for row in rows:
        print(f"| {row['kind']} | {row['ms']:,.2f} | {100 * row['share']:.1f}% |")
    print(f"| total | {sum(row['ms'] for row in rows):,.2f} | |")
    if options.output:
        told = {"device": options.device, "batch": batch, "precision": options.precision, "rows": rows}
        options.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
