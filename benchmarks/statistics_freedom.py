"""Compute the true level of the test of two methods at nominal 5%, with plain and corrected degrees of freedom.

    python benchmarks/statistics_freedom.py        # a minute

Computes, by numerical integration for normal data, the smallest and largest probability of finding a significant
difference between two equal methods. The ratio of their true standard deviations over seeds varies up to ``--ratio`` in
either direction, and the proportion of the variance due to images from 0 to 70%.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from mfer_lightning.evaluation.statistics.variance_components import Components, effective_degrees_of_freedom

SEEDS = ((3, 3), (4, 4), (5, 5), (10, 10), (3, 4), (3, 5), (3, 10), (5, 10))
IMAGE_PARTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7)
_FREEDOM = np.vectorize(
    lambda a, b, image, x, y: effective_degrees_of_freedom(Components(a, b, image, 0.0), x, y), otypes=[float]
)


def chances(seeds: tuple[int, int], ratio: float, part: float, alpha: float, points: int = 30) -> dict[str, float]:
    """Return the probability of p < alpha without a difference: Satterthwaite, Student's pooled test, corrected."""
    levels = (np.arange(points) + 0.5) / points
    nu = [s - 1 for s in seeds]
    true = np.array([1 / seeds[0], ratio**2 / seeds[1]])
    image = true.sum() * part / (1 - part)
    a = true[0] * stats.chi2.ppf(levels, nu[0])[:, None] / nu[0] * np.ones((1, points))
    b = true[1] * stats.chi2.ppf(levels, nu[1])[None, :] / nu[1] * np.ones((points, 1))
    total, truth = a + b + image, true.sum() + image
    pooled = (nu[0] * a * seeds[0] + nu[1] * b * seeds[1]) / sum(nu) * (1 / seeds[0] + 1 / seeds[1]) + image
    found = {
        "satterthwaite": (total, total**2 / (a**2 / nu[0] + b**2 / nu[1])),
        "student": (pooled, np.full_like(total, sum(nu))),
        "corrected": (total, _FREEDOM(a, b, image, *seeds)),
    }
    return {
        name: float(2 * stats.norm.sf(stats.t.isf(alpha / 2, freedom) * np.sqrt(variance / truth)).mean())
        for name, (variance, freedom) in found.items()
    }


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratio", type=float, default=3.0)
    parser.add_argument("--alpha", type=float, default=0.05)
    arguments = parser.parse_args()
    print("| seeds | Student, pooled | Satterthwaite | corrected |")
    print("|---|---|---|---|")
    for seeds in SEEDS:
        ratios = np.exp(np.linspace(-1, 1, 7) * np.log(arguments.ratio))
        found = [chances(seeds, r, part, arguments.alpha) for r in ratios for part in IMAGE_PARTS]
        cells = []
        for name in ("student", "satterthwaite", "corrected"):
            values = [100 * f[name] for f in found]
            cells.append(f"{min(values):.1f} to {max(values):.1f}%")
        print(f"| {seeds[0]} / {seeds[1]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
