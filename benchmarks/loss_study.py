"""Measure the effect of the feature losses on features, to choose the defaults listed in docs/losses.md.

    python benchmarks/loss_study.py gradients          # size of each term's gradient (takes a second)
    python benchmarks/loss_study.py widths             # the same weight at every width, synthetic (takes minutes)
    python benchmarks/loss_study.py ferplus data/ferplus --setting dsf:temperature=0.25,pull=0.2,weight=0.3

`ferplus` trains a small convolutional network on part of the training images (24 pixels, vote distributions as
targets) and measures on the FER2013Valid faces with a majority label. --setting takes one or more
settings, and --seeds the number of seeds; each run is a row.

Columns: accuracy on held-out data; `within`, the root mean square distance of a feature from its class mean;
`between`, the root mean square distance between class means; `ratio`, `between` divided by `within`; `size`, the root
mean square deviation of features from the overall mean; `centers`, the root mean square distance between the loss's
centres. All distances are per channel (divided by sqrt D).
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mfer_lightning import losses
from mfer_lightning.optim import build_optimizer, build_schedule, parameter_groups

FEATURE_LOSSES = {"center": losses.CenterLoss, "lgm": losses.LGMLoss, "dsf": losses.DSFLoss}


class Network(nn.Module):
    """A trunk, a LayerNormed feature of width D (as in MFER), and one linear head."""

    def __init__(self, trunk: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.trunk, self.norm, self.head = trunk, nn.LayerNorm(width), nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Map (B, ...) to feature, logits, head_logits."""
        feature = self.norm(self.trunk(x))
        logits = self.head(feature)
        return {"feature": feature, "logits": logits, "head_logits": (logits,)}


def make_objective(setting: str, num_classes: int, width: int) -> losses.Objective:
    """Convert `dsf:temperature=0.25,pull=0.2,weight=0.3` (or `none`) to an objective."""
    name, _, text = setting.partition(":")
    options: dict[str, Any] = {}
    for pair in filter(None, text.split(",")):
        key, _, value = pair.partition("=")
        options[key] = float(value) if value.replace(".", "").replace("e-", "").isdigit() else value
    weight = options.pop("weight", 1.0)
    feature = FEATURE_LOSSES[name](num_classes, width, **options) if name != "none" else None
    return losses.Objective(losses.CrossEntropy(0.1), feature, weight)


def train(
    network: Network,
    objective: losses.Objective,
    data: tuple[Tensor, Tensor],
    seed: int,
    args: argparse.Namespace,
) -> None:
    """Train with AdamW, cosine schedule, batch 128."""
    generator = torch.Generator().manual_seed(seed)
    images, target = data
    steps = len(images) // 128
    groups = parameter_groups(network, objective, lr=args.lr, weight_decay=0.05, center_lr_scale=args.center_lr_scale)
    optimizer = build_optimizer(groups, "adamw", lr=args.lr)
    schedule = build_schedule(optimizer, "cosine", args.epochs * steps, steps)
    network.train()
    for _ in range(args.epochs):
        for rows in torch.randperm(len(images), generator=generator)[: steps * 128].split(128):
            x = images[rows]
            if x.ndim == 4:  # flip half the images
                flip = torch.rand(len(x), generator=generator) < 0.5
                x = torch.where(flip[:, None, None, None], x.flip(3), x)
            optimizer.zero_grad()
            objective(network(x), target[rows])["total"].backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def measure(network: Network, objective: losses.Objective, data: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Measure accuracy and geometry of the features on labelled held-out data."""
    network.eval()
    images, label = data
    parts = [network(x) for x in images.split(512)]
    feature, logits = (torch.cat([p[k] for p in parts]) for k in ("feature", "logits"))
    width = feature.shape[1]
    present = label.unique()
    means = torch.stack([feature[label == k].mean(0) for k in present])
    own = means[torch.searchsorted(present, label)]
    pairs = torch.pdist(means)
    within = float(((feature - own).square().sum(1).mean() / width).sqrt())
    between = float((pairs.square().mean() / width).sqrt())
    size = float(((feature - feature.mean(0)).square().sum(1).mean() / width).sqrt())
    accuracy = float((logits.argmax(1) == label).float().mean())
    figures = {"accuracy": accuracy, "within": within, "between": between, "ratio": between / within, "size": size}
    centers = getattr(objective.feature, "centers", None)
    apart = float("nan") if centers is None else float((torch.pdist(centers).square().mean() / width).sqrt())
    return {**figures, "centers": apart}


def gradients(args: argparse.Namespace) -> None:
    """Print the norm of each term's gradient with respect to a feature, times sqrt D."""
    rows = csv.writer(sys.stdout)
    rows.writerow(["loss", "term", "width", "centre_distance", "value", "gradient_times_sqrt_width"])
    for width in (16, 64, 256, 1024):
        for distance in (0.3, 1.0, 1.4):
            generator = torch.Generator().manual_seed(0)
            directions = torch.linalg.qr(torch.randn(width, 8, generator=generator))[0].T
            centers = directions * distance * (width / 2) ** 0.5  # |c_i - c_j|^2 / D = distance^2
            target = torch.eye(8).repeat(32, 1)
            # Half way between the sample's own centre and a random one, plus noise: an ambiguous sample.
            other = centers[torch.randint(0, 8, (256,), generator=generator)]
            start = (target @ centers + other) / 2 + 0.3 * torch.randn(256, width, generator=generator)
            for name, kind in FEATURE_LOSSES.items():
                loss = kind(8, width)
                loss.centers.data.copy_(centers)
                feature = start.clone().requires_grad_()
                for term, value in loss(feature, target).items():
                    (gradient,) = torch.autograd.grad(value * len(feature), feature, retain_graph=True)
                    norm = float(gradient.norm(dim=1).mean() * width**0.5)
                    rows.writerow([name, term, width, distance, f"{value.item():.3f}", f"{norm:.3f}"])


def widths(args: argparse.Namespace) -> None:
    """Train each setting at several widths on a synthetic problem with 8 overlapping classes."""
    report(["width"])
    for width in (32, 128, 512):
        for setting in args.setting:
            for seed in range(args.seeds):
                generator = torch.Generator().manual_seed(100 + seed)
                prototypes = torch.randn(8, 24, generator=generator)
                mixing = torch.randn(24, 64, generator=generator) / 24**0.5
                label = torch.randint(0, 8, (12000,), generator=generator)
                latent = prototypes[label] + 1.6 * torch.randn(12000, 24, generator=generator)
                x = torch.tanh(latent @ mixing)
                target = torch.eye(8)[label]
                torch.manual_seed(seed)
                trunk = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, width))
                network, objective = Network(trunk, width, 8), make_objective(setting, 8, width)
                train(network, objective, (x[:8000], target[:8000]), seed, args)
                report([width], setting, seed, measure(network, objective, (x[8000:], label[8000:])))


def ferplus(args: argparse.Namespace) -> None:
    """Train settings on FERPlus with a small convolutional network on 24-pixel faces."""
    images, votes = read_ferplus(args.data / "FER2013Train")
    keep = np.random.default_rng(0).permutation(len(images))[: args.faces]
    target = torch.from_numpy(votes / votes.sum(1, keepdims=True)).float()[keep]
    training = (torch.from_numpy(images)[keep], target)
    images, votes = read_ferplus(args.data / "FER2013Valid")
    clear = votes.max(1) * 2 > votes.sum(1)
    held_out = (torch.from_numpy(images[clear]), torch.from_numpy(votes[clear].argmax(1)))
    report(["faces"])
    for setting in args.setting:
        for seed in range(args.seeds):
            torch.manual_seed(seed)
            steps = ((1, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2))
            layers: list[nn.Module] = []
            for inputs, outputs, stride in steps:
                conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
                layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
            trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, args.width))
            network, objective = Network(trunk, args.width, 8), make_objective(setting, 8, args.width)
            train(network, objective, training, seed, args)
            report([args.faces], setting, seed, measure(network, objective, held_out))


def read_ferplus(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a PNG folder: images (N,1,24,24), (pixel - 128) / 64, and votes (N,8), with single votes set to zero."""
    images, votes = [], []
    with (folder / "label.csv").open(encoding="utf-8") as file:
        for name, _, *counts in csv.reader(file):
            row = np.array([int(c) for c in counts])
            row[row <= 1] = 0
            if not name or row[:8].sum() == 0 or row[8:].max() >= row[:8].max():
                continue
            with Image.open(folder / name) as image:
                images.append(np.asarray(image.convert("L").resize((24, 24), Image.Resampling.BOX)))
            votes.append(row[:8])
    pixels = np.stack(images)[:, None].astype(np.float32)
    return (pixels - 128) / 64, np.stack(votes)


def report(first: list[Any], setting: str = "", seed: int = 0, figures: dict[str, float] | None = None) -> None:
    """Print a row; without values, the header."""
    rows = csv.writer(sys.stdout)
    if figures is None:
        rows.writerow([*first, "setting", "seed", "accuracy", "within", "between", "ratio", "size", "centers"])
    else:
        rows.writerow([*first, setting, seed, *(f"{v:.3f}" for v in figures.values())])
    sys.stdout.flush()


def main() -> None:
    """Read the command line and run the chosen study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verbs.add_parser("gradients").set_defaults(run=gradients)
    for name, run, epochs in (("widths", widths, 10), ("ferplus", ferplus, 8)):
        verb = verbs.add_parser(name)
        verb.add_argument("--setting", nargs="+", default=["none", "center", "lgm", "dsf"])
        verb.add_argument("--seeds", type=int, default=1)
        verb.add_argument("--epochs", type=int, default=epochs)
        verb.add_argument("--lr", type=float, default=1e-3)
        verb.add_argument("--center-lr-scale", type=float, default=1.0)
        verb.set_defaults(run=run)
        if name == "ferplus":
            verb.add_argument("data", type=Path)
            verb.add_argument("--faces", type=int, default=10000)
            verb.add_argument("--width", type=int, default=256)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    args.run(args)


if __name__ == "__main__":
    main()
