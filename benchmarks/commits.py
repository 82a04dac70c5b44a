"""Compare the CPU speed of this checkout with that of another: ``python benchmarks/commits.py <checkout>``.

``git worktree add ../before b5780db`` makes the other checkout. Each round times both in turn, each in a new process
with one thread. The ratio is that of the shortest times. docs/performance.md lists the result.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parents[1]

#: Name -> arguments of the network, side of the faces, batch size.
NETWORKS = {
    "ConvNeXt-Tiny with DS attention, 64 px, batch 8": ({"backbone": "convnext_tiny"}, 64, 8),
    "narrow ResNet-18 with DS attention, 48 px, batch 32": (
        {"backbone": {"name": "resnet18", "stem": "small", "options": {"channels": [32, 48, 96, 128]}}},
        48,
        32,
    ),
}
REPEATS = 9


def measure() -> dict[str, float]:
    """Time training steps and inference in float32 with the package that Python finds.

    Returns:
        Name -> shortest time in milliseconds.
    """
    from mfer_lightning import MFER

    torch.set_num_threads(1)
    shortest = {}
    for name, (arguments, side, batch) in NETWORKS.items():
        torch.manual_seed(0)
        network = MFER(num_classes=7, attention="ds", **arguments).to(memory_format=torch.channels_last)
        faces = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
        label = torch.randint(0, 7, (batch,))
        optimizer = torch.optim.AdamW(network.parameters())

        def step(network=network, faces=faces, label=label, optimizer=optimizer) -> None:
            torch.nn.functional.cross_entropy(network(faces)["logits"], label).backward()
            optimizer.step()
            optimizer.zero_grad()

        shortest[f"{name}: step"] = _shortest(step)
        network.eval()
        with torch.inference_mode():
            shortest[f"{name}: inference"] = _shortest(lambda network=network, faces=faces: network(faces))
    return shortest


def _shortest(run: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return min(times)


def main() -> None:
    """Compare the two checkouts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("checkout", type=Path, nargs="?", help="the other checkout; without it, this package is timed")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.checkout is None:
        print(json.dumps(measure()))
        return
    if not (given.checkout / "src" / "mfer_lightning").is_dir():
        parser.exit(2, f"Error: {given.checkout} is not a checkout of mfer_lightning.\n")
    if given.rounds < 1:
        parser.exit(2, f"Error: --rounds={given.rounds}: at least one is needed.\n")
    best: dict[Path, dict[str, float]] = {HERE: {}, given.checkout: {}}
    for _ in range(given.rounds):
        for checkout, times in best.items():
            environment = os.environ | {"PYTHONPATH": str((checkout / "src").resolve())}
            child = subprocess.run([sys.executable, __file__], env=environment, stdout=subprocess.PIPE, check=True)
            for name, value in json.loads(child.stdout.splitlines()[-1]).items():
                times[name] = min(value, times.get(name, value))
    for name, before in best[given.checkout].items():
        print(f"{name}: {best[HERE][name]:.1f} ms here, {before:.1f} ms there, ratio {best[HERE][name] / before:.2f}")


if __name__ == "__main__":
    main()
