"""Draw the effect of feature losses on 2-D features, with three emotions and a linear head.

    python benchmarks/toy_regimes.py       # draws docs/figures/toy_regimes.png and prints the table (takes minutes)

A small convolutional network is trained on synthetic faces of three emotions with cross-entropy only, and with
centre loss, LGM and DSF, each at the weight in its conf/loss file. All results are on held-out faces of other people.
The centres are initialised with the class means of the untrained network's features. The table lists mean and standard
deviation over the seeds; the figure shows the first seed. See mfer_lightning/evaluation/compactness.py for spread and
distance.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from mfer_lightning import losses
from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.emotions import EMOTIONS as CLASSES
from mfer_lightning.evaluation.compactness import compactness
from mfer_lightning.figures.style import class_styles, new_figure
from mfer_lightning.optim import build_optimizer, build_schedule, parameter_groups

EMOTIONS = ("happiness", "sadness", "surprise")
REGIMES = {"ce": "no feature loss", "center": "centre loss", "lgm": "LGM", "dsf": "DSF (reconstruction)"}
CONF = Path(__file__).resolve().parents[1] / "conf" / "loss"
BATCH = 64


class Network(nn.Module):
    """Four convolutions, a feature (B,2) without a norm, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 16), (16, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2))
        self.head = nn.Linear(2, len(EMOTIONS))

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Map (B,3,H,W) to feature, logits, head_logits."""
        feature = self.trunk(x)
        logits = self.head(feature)
        return {"feature": feature, "logits": logits, "head_logits": (logits,)}


def draw_faces(partition: str, count: int, size: int) -> tuple[Tensor, Tensor]:
    """Draw ``count`` faces of the three emotions: images (N,3,size,size) in -1..1, labels (N,)."""
    generator = FacsGenerator(size=size, seed=0, difficulty=0.45)
    wanted = [CLASSES.index(name) for name in EMOTIONS]
    known = generator.labels(partition, 4 * count).label
    rows = np.flatnonzero(np.isin(known, wanted))[:count]
    images = np.stack([generator.image(partition, int(i)) for i in rows])
    label = np.array([wanted.index(k) for k in known[rows]])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1, torch.from_numpy(label)


def make_objective(regime: str) -> losses.Objective:
    """Build the loss of ``conf/loss/<regime>.yaml`` for a 2-D feature."""
    config = yaml.safe_load((CONF / f"{regime}.yaml").read_text(encoding="utf-8"))
    spec = dict(config.get("feature") or {})
    if not spec:
        return losses.Objective(losses.CrossEntropy(0.1))
    kind = getattr(losses, spec.pop("_target_").rpartition(".")[2])
    feature = kind(num_classes=len(EMOTIONS), feature_dim=2, **spec)
    return losses.Objective(losses.CrossEntropy(0.1), feature, config["feature_weight"])


def train(regime: str, seed: int, faces: tuple[Tensor, Tensor], epochs: int) -> tuple[Network, losses.Objective]:
    """Train one network with AdamW and a cosine schedule, with random mirroring."""
    torch.manual_seed(seed)
    network, objective = Network(), make_objective(regime)
    images, label = faces
    target = torch.eye(len(EMOTIONS))[label]
    with torch.no_grad():
        objective.init_centers(network(images[:512])["feature"], target[:512])
    groups = parameter_groups(network, objective, lr=2e-3, weight_decay=0.05)
    optimizer = build_optimizer(groups, "adamw", lr=2e-3)
    steps = len(images) // BATCH
    schedule = build_schedule(optimizer, "cosine", epochs * steps, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            x = images[rows]
            x = torch.where((torch.rand(len(x)) < 0.5)[:, None, None, None], x.flip(3), x)
            optimizer.zero_grad()
            objective(network(x), target[rows])["total"].backward()
            optimizer.step()
            schedule.step()
    return network.eval(), objective


@torch.no_grad()
def measure(network: Network, faces: tuple[Tensor, Tensor]) -> tuple[np.ndarray, dict[str, float]]:
    """Return the features (N,2) of held-out faces, and their metrics."""
    out = network(faces[0])
    found = compactness(out["feature"].numpy(), faces[1].numpy())
    accuracy = float((out["logits"].argmax(1) == faces[1]).float().mean())
    figures = {"accuracy": 100 * accuracy, "spread": found.spread, "distance": found.distance, "ratio": found.ratio}
    return out["feature"].numpy(), {k: float(v or 0.0) for k, v in figures.items()}


def draw(path: Path, panels: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None, dict[str, float]]]) -> None:
    """Draw the regimes side by side: features coloured by emotion, and the centres of the loss."""
    styles = class_styles(EMOTIONS)
    with new_figure(path, 11, 3.6) as figure:
        axes = figure.subplots(1, len(panels))
        for axis, (regime, (feature, label, centers, figures)) in zip(axes, panels.items(), strict=True):
            for k, (name, (colour, marker)) in enumerate(zip(EMOTIONS, styles, strict=True)):
                x, y = feature[label == k].T
                axis.scatter(x, y, s=7, c=colour, marker=marker, alpha=0.45, linewidths=0, label=name)
            if centers is not None:
                axis.scatter(*centers.T, s=90, c="black", marker="+", linewidths=1.6, label="centre", zorder=3)
            axis.set_title(
                f"{REGIMES[regime]}\n{figures['accuracy']:.1f}%, spread {figures['spread']:.2f}, "
                f"distance {figures['distance']:.1f}",
                fontsize=8,
            )
            axis.set_aspect("equal", adjustable="datalim")
            axis.tick_params(labelsize=7)
        handles, names = axes[-1].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), markerscale=2)


def main() -> None:
    """Train every regime with every seed; print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--faces", type=int, default=3000, help="training faces; a third as many are held out")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--figure", type=Path, default=Path("docs/figures/toy_regimes.png"))
    args = parser.parse_args()
    training = draw_faces("train", args.faces, args.size)
    held_out = draw_faces("test", args.faces // 3, args.size)
    panels = {}
    print("| regime | accuracy % | spread | distance | spread / distance |\n|---|---|---|---|---|")
    for regime, title in REGIMES.items():
        rows = []
        for seed in range(args.seeds):
            network, objective = train(regime, seed, training, args.epochs)
            feature, figures = measure(network, held_out)
            rows.append(figures)
            if seed == 0:
                centers = getattr(objective.feature, "centers", None)
                shown = None if centers is None else centers.detach().numpy()
                panels[regime] = (feature, held_out[1].numpy(), shown, figures)
        cells = []
        for key, digits in (("accuracy", 1), ("spread", 3), ("distance", 3), ("ratio", 3)):
            values = np.array([row[key] for row in rows])
            spread = values.std(ddof=1) if len(values) > 1 else float("nan")
            cells.append(f"{values.mean():.{digits}f} ± {spread:.{digits}f}")
        print(f"| {title} | {' | '.join(cells)} |", flush=True)
    draw(args.figure, panels)
    print(args.figure)


if __name__ == "__main__":
    main()
