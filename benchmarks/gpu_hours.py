"""Print a Markdown table of the operations and estimated GPU hours of each full-scale recipe.

``python benchmarks/gpu_hours.py``; docs/recipes.md contains its output. This is an estimate from operation counts, not
a measurement: the forward pass is counted on the meta device, the backward pass counts as twice that, everything counts
twice with SAM, and the GPU is assumed to reach a fraction of its dense bfloat16 peak (NVIDIA's data sheets: A100 312,
H100 SXM 989 TFLOP/s).
"""

from __future__ import annotations

import argparse

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mfer_lightning.config.location import choices, config_dir
from mfer_lightning.config.schema import register
from mfer_lightning.data.datasets.registry import get_protocol
from mfer_lightning.nn import MFER
from mfer_lightning.nn.cost import count_gflops

PEAKS = {"A100": 312e12, "H100": 989e12}


def training_faces(dataset: str, protocol: str, target: str) -> int:
    """Return the number of training faces per epoch in a complete copy of the dataset."""
    named = get_protocol(dataset, protocol)
    rule = "label" if target == "label" else target
    expected = next(e.count for e in named.expected if e.partition == "train" and e.rule == rule)
    count = expected if isinstance(expected, int) else sum(expected)
    return round(count * (1 - named.holdout_fraction)) if named.val == "holdout" else count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.35, help="fraction of the peak that training reaches")
    share = parser.parse_args().share
    register("train_schema")
    print(f"| Recipe | Faces per epoch | Epochs | Training, EFLOP | {' | '.join(f'{g} hours' for g in PEAKS)} |")
    print("|---|---:|---:|---:|" + "---:|" * len(PEAKS))
    for name in choices("experiment"):
        if not name.startswith(("paper/", "strong/")):
            continue
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            config = OmegaConf.to_container(compose("train", [f"experiment={name}"]), resolve=True)
        assert isinstance(config, dict)
        dataset, size = config["dataset"], config["preprocess"]["size"]
        faces = training_faces(dataset["name"], dataset["protocol"], dataset["target"])
        with torch.device("meta"):
            network = MFER(config["backbone"]["name"].split(".")[0], 8, attention=config["attention"])
        passes = 3 * (2 if config["optimizer"]["sam_rho"] else 1)
        epochs = config["trainer"]["max_epochs"]
        total = count_gflops(network, size) * 2e9 * passes * faces * epochs
        hours = " | ".join(f"{total / (peak * share) / 3600:.1f}" for peak in PEAKS.values())
        print(f"| `{name}` | {faces:,} | {epochs} | {total / 1e18:.2f} | {hours} |")


if __name__ == "__main__":
    main()
