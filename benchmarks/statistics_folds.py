"""Measure the coverage of 95% intervals of a cross-validated accuracy: over faces, subjects and folds.

    python benchmarks/statistics_folds.py --repetitions 10000

The study resembles CK+: 118 subjects with 9 faces each (3 sequences of 3 pictures), in ten folds. The logit of the
probability that a face is classified correctly varies between subjects, between the sequences of a subject, and between
the networks of the folds.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import stats

SUBJECTS, SEQUENCES, PICTURES, FOLDS = 118, 3, 3, 10


def right_answers(
    rng: np.random.Generator, mean: float, subject: float, sequence: float, network: float
) -> NDArray[np.float64]:
    """Draw the number of correctly classified faces of each subject, (SUBJECTS,).

    Args:
        rng: random generator.
        mean: mean logit.
        subject: standard deviation of the logit between subjects.
        sequence: standard deviation between sequences of a subject.
        network: standard deviation between the networks of the folds.
    """
    logit = mean + subject * rng.normal(size=(SUBJECTS, 1)) + sequence * rng.normal(size=(SUBJECTS, SEQUENCES))
    logit += network * rng.normal(size=FOLDS)[np.arange(SUBJECTS) % FOLDS][:, None]
    return rng.binomial(PICTURES, 1 / (1 + np.exp(-logit))).sum(axis=1).astype(float)


def jackknife(right: NDArray[np.float64], units: NDArray[np.int64]) -> tuple[float, float]:
    """Compute the 95% jackknife interval of the pooled accuracy, leaving out one unit at a time."""
    hits = np.bincount(units, weights=right)
    faces = np.bincount(units) * SEQUENCES * PICTURES
    without = (hits.sum() - hits) / (faces.sum() - faces)
    half = stats.t.ppf(0.975, len(hits) - 1) * np.sqrt((len(hits) - 1) * without.var())
    value = hits.sum() / faces.sum()
    return value - half, value + half


def wilson(right: NDArray[np.float64]) -> tuple[float, float]:
    """Compute Wilson's 95% interval, as if faces were independent."""
    n, z = SUBJECTS * SEQUENCES * PICTURES, stats.norm.ppf(0.975)
    share = right.sum() / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def main() -> None:
    """Print a table of coverages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=10_000)
    repetitions = parser.parse_args().repetitions
    rng = np.random.default_rng(0)
    subjects, folds = np.arange(SUBJECTS), np.arange(SUBJECTS) % FOLDS
    print("| accuracy | networks differ by | Wilson, over faces | jackknife, over subjects | jackknife, over folds |")
    print("|---|---|---|---|---|")
    for mean in (1.5, 3.0):
        for network in (0.0, 0.2, 0.5):
            draws = rng.normal(size=1_000_000) * np.sqrt(1 + 1 + network**2)
            true = float((1 / (1 + np.exp(-mean - draws))).mean())
            held = np.zeros(3)
            for _ in range(repetitions):
                right = right_answers(rng, mean, 1.0, 1.0, network)
                ends = (wilson(right), jackknife(right, subjects), jackknife(right, folds))
                held += [low <= true <= high for low, high in ends]
            cells = " | ".join(f"{100 * share:.1f}%" for share in held / repetitions)
            print(f"| {true:.2f} | {network} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
