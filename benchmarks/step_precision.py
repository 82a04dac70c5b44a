"""Compare training steps of small networks on the CPU in float32 and in bfloat16, in processor time.

    python benchmarks/step_precision.py dan_64px ddamfn_64px poster2_64px

Uses one thread, channels_last, and faces of 64 pixels in batches of 64. The precisions alternate, and the result is the
median of several steps, so that other load on the machine affects both equally.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import process_time

import torch
from torch import Tensor, nn

from mfer_lightning.config.compose import compose_train
from mfer_lightning.training.build import build_network

SIDE, CLASSES = 64, 7


def step(network: nn.Module, faces: Tensor, labels: Tensor, bfloat16: bool) -> float:
    """Compute loss and gradients once; return the processor time in seconds."""
    network.zero_grad(set_to_none=True)
    start = process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = network(faces)["logits"]
    nn.functional.cross_entropy(logits.float(), labels).backward()
    return process_time() - start


def main() -> None:
    """Print one row of a Markdown table per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="choices of network=")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| `network=` | float32, ms | bfloat16, ms | ratio |\n|---|---:|---:|---:|")
    for name in options.networks:
        torch.manual_seed(0)
        config = compose_train([f"network={name}", f"preprocess.size={SIDE}"])
        network = build_network(config, CLASSES).train().to(memory_format=torch.channels_last)
        faces = torch.randn(options.batch, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(CLASSES, (options.batch,))
        times: dict[bool, list[float]] = {False: [], True: []}
        for number in range(options.steps + 1):
            for bfloat16, seconds in times.items():
                taken = step(network, faces, labels, bfloat16)
                if number:  # the first one is a warm-up
                    seconds.append(taken)
        plain, half = (1000 * median(seconds) for seconds in times.values())
        print(f"| `{name}` | {plain:.0f} | {half:.0f} | {half / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
