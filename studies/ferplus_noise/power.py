"""Compute the differences that the noise study detects with 80% power (docs/experiments/ferplus_noise.md, "Power").

    python studies/ferplus_noise/power.py [studies/ferplus_ablation [<contrasts in a family>]]

The spreads are those of `plain` and `full` in the ablation, seven seeds each, on the same faces and with the same
network. The ablation's labels were clean; label noise may increase the spread over seeds, so each number is also given
for twice the spread.
"""

import sys
from pathlib import Path

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.evaluation.statistics import correct_matrix, plan_seeds

ABLATION = Path(__file__).parents[1] / "ferplus_ablation"
FACES = 3191  # size of FER2013Valid
METHODS = {"plain": ("none", "linear", "ce"), "full": ("ds", "multiscale", "ce")}  # attention, head, loss


def right(folder: str | Path) -> list[np.ndarray]:
    """Read which faces the seeds of `plain` and `full` classified correctly, (seeds, faces) each."""
    found = find_results([folder])
    runs = {
        name: [r for r in found.results if tuple(r.config[p]["name"] for p in ("attention", "head", "loss")) == parts]
        for name, parts in METHODS.items()
    }
    for name, mine in runs.items():
        if len(mine) < 2:
            raise UserError(f"{folder} contains {len(mine)} runs of `{name}`, but at least two are needed.")
    correct, _ = correct_matrix([run.predictions() for mine in runs.values() for run in mine])
    return [correct[: len(runs["plain"])], correct[len(runs["plain"]) :]]


def wider(correct: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Double the distance of the accuracy of each seed from the mean by changing randomly drawn faces."""
    moved = correct.copy()
    mean = correct.mean()
    for row in moved:
        change = round((row.mean() - mean) * row.size)
        faces = np.flatnonzero(row != (change > 0))
        row[rng.choice(faces, abs(change), replace=False)] = change > 0
    return moved


def main(folder: str | Path = ABLATION, family: str | int = 6) -> None:
    """Print the smallest detectable differences by number of seeds."""
    try:
        plain, full = right(folder)
    except (UserError, ValueError) as error:
        sys.exit(f"Error: {error}")
    rng = np.random.default_rng(0)
    usual = plan_seeds(plain, full, images=FACES, difference=0.01, family=int(family))
    twice = plan_seeds(wider(plain, rng), wider(full, rng), images=FACES, difference=0.01, family=int(family))
    spreads = [100 * plan.seed_variance**0.5 for plan in (usual, twice)]
    print(f"spread over seeds: {spreads[0]:.2f} points; twice that: {spreads[1]:.2f}")
    print(f"image component of the standard error of a difference: {100 * usual.image_variance**0.5:.2f} points")
    for seeds, smallest in usual.detectable.items():
        print(f"{seeds:2} seeds: {100 * smallest:.2f} points; twice the spread: {100 * twice.detectable[seeds]:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
