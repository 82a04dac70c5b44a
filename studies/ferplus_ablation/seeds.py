"""Compute the number of seeds of the ablation from its pilot (docs/experiments/ferplus_ablation.md, "Seeds").

    python studies/ferplus_ablation/seeds.py runs/pilot

Only the registered pilot is accepted: other seeds, missing or additional runs of `plain` or `full`, and unfinished runs
are rejected. The script reads predictions on the held-out tenth even if the runs report FER2013Valid, which must not
affect the number.
"""

import sys

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import StoredResult, find_results
from mfer_lightning.evaluation.statistics import correct_matrix, plan_seeds

FACES, DIFFERENCE, CONTRASTS = 3191, 0.01, 6  # size of FER2013Valid; one percentage point; size of the primary family
METHODS = {"plain": ("none", "linear", "ce"), "full": ("ds", "multiscale", "ce")}  # attention, head, loss
SEEDS = [1001, 1002, 1003]


def pilot(folders: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read which faces `plain` and `full` classified correctly, (seeds, faces) each, on the same faces."""
    found = find_results(folders)
    for left_out in found.left_out:
        raise UserError(f"{left_out.folder} {left_out.reason}.")
    runs: list[StoredResult] = []
    for name, parts in METHODS.items():
        is_of = [tuple(run.config[part]["name"] for part in ("attention", "head", "loss")) for run in found.results]
        mine = [run for run, of in zip(found.results, is_of, strict=True) if run.trained and of == parts]
        if sorted(run.seed for run in mine) != SEEDS:
            raise UserError(f"Expected `{name}` with seeds {SEEDS}, but got {sorted(run.seed for run in mine)}.")
        runs += sorted(mine, key=lambda run: run.seed)
    correct, _ = correct_matrix([run.predictions("val") for run in runs])
    return correct[: len(SEEDS)], correct[len(SEEDS) :]


def main(folders: list[str]) -> None:
    """Print the number of seeds and the values it is derived from."""
    try:
        plain, full = pilot(folders)
    except (UserError, ValueError) as error:
        sys.exit(f"Error: {error}")
    print(f"{len(plain)} runs of plain, {len(full)} of full, {plain.shape[1]:,} faces")
    print(f"accuracy: plain {100 * plain.mean():.2f}%, full {100 * full.mean():.2f}%")
    plan = plan_seeds(plain, full, images=FACES, difference=DIFFERENCE, family=CONTRASTS)
    print(f"spread over seeds: {100 * plan.seed_variance**0.5:.2f} points")
    print(f"image component of the standard error of a difference: {100 * plan.image_variance**0.5:.2f} points")
    for seeds, smallest in plan.detectable.items():
        print(f"{seeds:2} seeds: {100 * smallest:.2f} points are detected with a power of 80%")
    print(f"chosen: {plan.seeds}{'' if plan.reached else ' (even ten do not detect one point)'}")


if __name__ == "__main__":
    main(sys.argv[1:])
