"""Measure how often a comparison of equal methods reports one as worse than the best, under two corrections.

For docs/statistics.md::

    python benchmarks/statistics_best.py

The simulation has 1,500 faces, most of them easy, and accuracies of about 87% with a standard deviation of about one
point over seeds.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from mfer_lightning.evaluation.statistics import compare_against_baseline

IMAGES, SPREAD, OWN = 1500, 0.15, 0.5


def study(methods: int, seeds: int, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Simulate which faces equal methods classify correctly; return method -> (seeds, IMAGES).

    ``OWN`` is the standard deviation of a face's difficulty between methods, ``SPREAD`` that of the ability over seeds.
    """
    easy = rng.random(IMAGES) < 0.8
    ability = np.where(easy, rng.normal(4, 1, IMAGES), rng.normal(-0.2, 1.5, IMAGES))
    runs = {}
    for number in range(methods):
        own = ability + OWN * rng.normal(size=IMAGES)
        levels = own + SPREAD * rng.normal(size=(seeds, 1))
        runs[str(number)] = rng.random((seeds, IMAGES)) < expit(levels)
    return runs


def main() -> None:
    """Print one row per number of methods and seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    repetitions = parser.parse_args().repetitions
    print("| methods | seeds | Holm over the comparisons with the best | all pairs |\n|---|---|---|---|")
    for methods, seeds in ((4, 3), (8, 3), (8, 5)):
        rng = np.random.default_rng(5)
        false = {False: 0, True: 0}
        for _ in range(repetitions):
            runs = study(methods, seeds, rng)
            best = max(runs, key=lambda name: float(runs[name].mean()))
            for corrected in false:
                found = compare_against_baseline(runs, best, chosen_by_results=corrected)
                false[corrected] += any(c.verdict == "worse" for c in found)
        shares = " | ".join(f"{100 * count / repetitions:.1f}%" for count in false.values())
        print(f"| {methods} | {seeds} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
