"""Measure the coverage of intervals, by metric and number of samples per class.

For the table of docs/statistics.md (a few minutes on one core)::

    python benchmarks/statistics_coverage.py --repetitions 1000 --resamples 500

One model is simulated, with seven classes and normally distributed logits. The mean logit of the true class differs by
class, so some classes are harder. One class is predicted too often, and the model is underconfident. Its true metrics
are those on two million faces with the same class proportions. Test sets are then drawn repeatedly to check each
interval.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from mfer_lightning.evaluation.intervals import mean_of_wilson, wilson
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.statistics import bootstrap_intervals

NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
#: Samples per class. RAF-DB's rarest class has 28 faces in the held-out validation set and 74 in the test set.
SIZES = (16, 74, 160, 500)
METRICS = ("accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "top2_accuracy", "cohen_kappa", "nll", "brier")


def draw(samples: int, rng: np.random.Generator, temperature: float = 0.7) -> Predictions:
    """Draw the model's predictions on a test set with ``samples`` faces per class."""
    k = len(NAMES)
    label = np.repeat(np.arange(k), samples)
    skill = np.linspace(1.6, 3.6, k)[label]
    logits = rng.standard_normal((len(label), k), dtype=np.float32)
    logits[np.arange(len(label)), label] += skill
    logits[:, 4] += 0.4  # one class is predicted too often
    n = len(label)
    return Predictions(np.arange(n), np.zeros(n, dtype="U1"), label, logits / temperature, NAMES)


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    truth = evaluate(draw(2_000_000 // len(NAMES), np.random.default_rng(1)))["metrics"]
    print("true figures: " + ", ".join(f"{name} {truth[name]:.4f}" for name in (*METRICS, "ece")))
    print("| metric | " + " | ".join(f"{size} a class" for size in arguments.sizes) + " |")
    print("|---" * (len(arguments.sizes) + 1) + "|")
    columns = []
    for size in arguments.sizes:
        columns.append(coverage(size, truth, arguments.repetitions, arguments.resamples))
        print(f"{size} a class: {columns[-1]}", file=sys.stderr, flush=True)
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(f"{100 * column[name]:.1f}" for column in columns) + " |")
    print(f"standard error of a coverage of 95%: {100 * (0.95 * 0.05 / arguments.repetitions) ** 0.5:.2f} points")


def coverage(size: int, truth: dict[str, float], repetitions: int, resamples: int) -> dict[str, float]:
    """Return the proportion of test sets whose interval contains the true value."""
    rng = np.random.default_rng(size)
    held: dict[str, int] = {}
    for repetition in range(repetitions):
        found = intervals(draw(size, rng), repetition, resamples)
        for name, (low, high) in found.items():
            held[name] = held.get(name, 0) + (low <= truth[name.split(",")[0]] <= high)
    return {name: count / repetitions for name, count in held.items()}


def intervals(table: Predictions, seed: int, resamples: int) -> dict[str, tuple[float, float]]:
    """Return the bootstrap intervals of all metrics, and the Wilson intervals of accuracy and mean-class accuracy."""
    found = bootstrap_intervals(table, (*METRICS, "ece"), resamples=resamples, seed=seed)
    right = int((table.pred == table.label).sum())
    hits = np.bincount(table.label, weights=table.pred == table.label).astype(int)
    return {
        "accuracy, Wilson": wilson(right, len(table)),
        "mean_class_accuracy, Wilson of each class": mean_of_wilson(hits.tolist(), np.bincount(table.label).tolist()),
        **found,
    }


if __name__ == "__main__":
    main()
