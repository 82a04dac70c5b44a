"""Compare faces per second of eager torch, ONNX Runtime, and ONNX Runtime with 8-bit weights on the CPU.

    python benchmarks/onnx_throughput.py            MFER-Base and two small networks
    python benchmarks/onnx_throughput.py --rounds 9 --threads 2 --batch 1 8

The weights are random, which does not affect speed. Each round measures every runtime once, so that other load on the
machine affects all of them. The output shows medians over the rounds, and medians of the ratios within rounds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from mfer_lightning.inference.export.onnx_file import annotate
from mfer_lightning.inference.export.onnx_graph import write_graph
from mfer_lightning.inference.export.quantise import quantise
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.onnx import OnnxModel
from mfer_lightning.onnx.model import FILE
from mfer_lightning.plurals import counted

#: Name -> arguments of MFER, and side of the faces.
NETWORKS = {
    "MFER-Base (convnext_base, ds, 224 px)": ({"backbone": "convnext_base", "attention": "ds"}, 224),
    "convnext_atto, ds, 112 px": ({"backbone": "convnext_atto", "attention": "ds"}, 112),
    "resnet18, no attention, 112 px": ({"backbone": "resnet18", "attention": "none"}, 112),
}


def main() -> None:
    """Measure every network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=2.0, help="minimum duration of a measurement")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a machine with other users")
    parser.add_argument("--only", default="", help="only networks whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{counted(options.threads, 'thread')}, {counted(options.rounds, 'round')}, medians, {options.clock} time")
    print("| Network | Batch | torch, faces/s | ONNX | int8 | ONNX : torch | int8 : torch | File, MB | int8 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (arguments, size) in NETWORKS.items():
        if options.only in name:
            measure(name, arguments, size, options)


def measure(name: str, arguments: dict, size: int, options: argparse.Namespace) -> None:
    """Print one line of the table per batch size."""
    torch.manual_seed(0)
    names = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    network = MFER(num_classes=len(names), **arguments).eval().requires_grad_(False)
    model = FERModel(network.to(memory_format=torch.channels_last), Preprocess(size=size), names)
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / FILE, Path(folder) / "int8.onnx"
        write_graph(model, path, size)
        annotate(path, model, size)
        small.write_bytes(path.read_bytes())
        quantise(small)
        annotate(small, model, size, "int8")
        exact, quantised = (OnnxModel(p, threads=options.threads) for p in (path, small))
        sizes = [p.stat().st_size / 1e6 for p in (path, small)]
        for batch in options.batch:
            faces = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
            planes = torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2)))
            ways: list[Callable[[], object]] = [
                lambda planes=planes: model(planes),
                lambda faces=faces: exact.classify(faces),
                lambda faces=faces: quantised.classify(faces),
            ]
            for way in ways:
                way()
            clock = time.perf_counter if options.clock == "wall" else time.process_time
            rounds = np.array(
                [[faces_a_second(way, batch, options.seconds, clock) for way in ways] for _ in range(options.rounds)]
            )
            torch_, onnx_, int8 = (median(rounds[:, k]) for k in range(3))
            ratios = [median(rounds[:, k] / rounds[:, 0]) for k in (1, 2)]
            print(
                f"| {name} | {batch} | {torch_:.3g} | {onnx_:.3g} | {int8:.3g} | {ratios[0]:.2f} | {ratios[1]:.2f} "
                f"| {sizes[0]:.1f} | {sizes[1]:.1f} |",
                flush=True,
            )


def faces_a_second(way: Callable[[], object], batch: int, seconds: float, clock: Callable[[], float]) -> float:
    """Repeat a prediction for a batch for at least ``seconds``; return faces per second."""
    count, started = 0, clock()
    while (passed := clock() - started) < seconds:
        way()
        count += batch
    return count / passed


if __name__ == "__main__":
    main()
