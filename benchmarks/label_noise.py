"""Measure the label audit on archived predictions: flip labels of faces not used in training, and detect the flips.

    python benchmarks/label_noise.py studies/ferplus_ablation attention=none head=linear loss=ce
    python benchmarks/label_noise.py studies/facs/noise20 loss=ce

No training is needed: the archive of a study contains the logits of finished runs on their evaluation faces, which
they were not trained on. The audit is repeated for each seed, with different flips; the last line uses the mean of the
probabilities over all seeds. The noise in the training labels depends on the study: none in ferplus_ablation, 20%
flipped in facs/noise20.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.splits import Split
from mfer_lightning.data.training_set import flip_labels
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.audit_measures import measure_ranking
from mfer_lightning.evaluation.confident_learning import find_label_noise
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.plurals import counted


def tables(folder: str, wanted: dict[str, str]) -> list[Predictions]:
    """Read the predictions of the runs with these choices, e.g. ``{"loss": "ce"}``."""
    runs = [
        run
        for run in find_results([folder]).results
        if run.trained and all(run.config[part]["name"] == name for part, name in wanted.items())
    ]
    if not runs:
        raise UserError(f"{folder} contains no run with {' '.join(f'{k}={v}' for k, v in wanted.items())}.")
    runs.sort(key=lambda run: run.seed)
    return [run.predictions() for run in runs]


def audit(
    table: Predictions, probabilities: NDArray[np.float64], rate: float, margin: float, seed: int
) -> dict[str, float]:
    """Flip labels, detect the flips, and measure the detection.

    Args:
        table: predictions of labelled faces.
        probabilities: class probabilities (N,K) for the audit.
        rate: fraction of the labels to flip.
        margin: margin of :func:`find_label_noise`.
        seed: seed of the flips.

    Returns:
        Column of the table -> value between 0 and 1.
    """
    n, k = probabilities.shape
    clean = Split(np.arange(n), table.label, np.eye(k, dtype=np.float32)[table.label])
    given = flip_labels(clean, [str(path) for path in table.path], table.class_names, rate, seed)[0].label
    noise = find_label_noise(probabilities, given, margin)
    measured = measure_ranking((given != table.label)[noise.order], len(noise.ranked), lengths=(100,))
    listed, best = measured["listed"], measured["at_precision"]
    return {
        "estimated rate": noise.rate,
        "listed": len(noise.ranked) / n,
        "precision": listed["precision"]["value"],
        "recall": listed["recall"]["value"],
        "of the first 100": measured["precision_at"][0]["value"],
        "recall at 80%": best["recall"]["value"],
    }


def main() -> None:
    """Print one line per seed, their mean, and a line for all seeds together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("parts", nargs="*", help="use only runs with these choices, e.g. loss=ce")
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--margin", type=float, default=0.0)
    given = parser.parse_args()
    found = tables(given.folder, dict(part.split("=", 1) for part in given.parts))
    keep = found[0].label >= 0
    print(
        f"{counted(int(keep.sum()), 'face')}, {given.rate:.0%} of the labels flipped, {counted(len(found), 'network')}"
    )
    one = [
        audit(t.select(keep), t.select(keep).probabilities, given.rate, given.margin, seed)
        for seed, t in enumerate(found)
    ]
    together = np.mean([t.select(keep).probabilities for t in found], axis=0)
    joined = audit(found[0].select(keep), together, given.rate, given.margin, 0)
    print("  ".join(f"{name:>16}" for name in ("network", *joined)))
    rows = {f"seed {seed}": row for seed, row in enumerate(one)}
    rows["mean"] = {name: float(np.mean([row[name] for row in one])) for name in joined}
    rows["all together"] = joined
    for name, row in rows.items():
        print("  ".join([f"{name:>16}", *(f"{100 * value:15.1f}%" for value in row.values())]))


if __name__ == "__main__":
    main()
