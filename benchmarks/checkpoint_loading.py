"""Time the checksum comparison when loading a large checkpoint: ``python benchmarks/checkpoint_loading.py``.

Writes a training checkpoint of MFER-Base with AdamW's state (1.9 GB) to a temporary folder and loads its network four
times with and four times without ``verify``, alternately. docs/export.md lists the shortest times.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from mfer_lightning.inference.model import read_model
from mfer_lightning.nn import MFER, Preprocess


def write_training_checkpoint(path: Path) -> None:
    """Write weights and an optimiser state of AdamW's size."""
    network = MFER("convnext_base", 8)
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    moments = [{"exp_avg": torch.randn_like(w), "exp_avg_sq": torch.rand_like(w)} for w in weights.values()]
    description = {
        "format": 1,
        "class_names": [f"class {k}" for k in range(8)],
        "network": network.config,
        "preprocess": Preprocess(size=224).to_config(),
    }
    states = [{"state": dict(enumerate(moments))}]
    torch.save({"state_dict": weights, "optimizer_states": states, "mfer": description}, path)


def main() -> None:
    """Print the size of the file and the shortest times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.ckpt"
        write_training_checkpoint(path)
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(4):
            for verify in (True, False):
                started = time.perf_counter()
                read_model(path, "cpu", verify=verify)
                times[verify].append(time.perf_counter() - started)
        with_it, without = min(times[True]), min(times[False])
        print(f"{path.stat().st_size / 1e9:.2f} GB: {with_it:.2f} s with checksums, {without:.2f} s without", end="")
        print(f" ({with_it / without - 1:+.0%})")


if __name__ == "__main__":
    main()
