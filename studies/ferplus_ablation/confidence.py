"""Why networks with the multiscale head are too sure of themselves (docs/experiments/ferplus_ablation.md, "Found").

python studies/ferplus_ablation/confidence.py

The head's logits are the sum of three heads', each trained to the target by itself. If the sum is the reason, their
mean, a third of it, must be as sure as a single linear head is. Read are the kept predictions on FER2013Valid.
"""

from pathlib import Path

import numpy as np
from scipy.special import softmax

from mfer_lightning.evaluation.calibration import expected_calibration_error
from mfer_lightning.evaluation.runs import find_results

HEADS = 3


def row(name: str, tables: list, divisor: int) -> str:
    """Mean error and mean confidence minus accuracy of some runs, with logits divided."""
    errors, sure = [], []
    for table in tables:
        probabilities = softmax(table.logits / divisor, axis=1)
        errors.append(expected_calibration_error(probabilities, table.label))
        sure.append(probabilities.max(axis=1).mean() - (table.pred == table.label).mean())
    return (
        f"{name:31} {len(tables):3} runs  ECE {100 * np.mean(errors):5.2f}%  "
        f"confidence - accuracy {100 * np.mean(sure):+6.2f} points"
    )


def main() -> None:
    """Print three lines."""
    runs = find_results([str(Path(__file__).parent)]).results
    of = {
        head: [run.predictions() for run in runs if run.config["head"]["name"] == head]
        for head in ("linear", "multiscale")
    }
    print(row("linear", of["linear"], 1))
    print(row("multiscale, sum of three heads", of["multiscale"], 1))
    print(row("multiscale, mean of three heads", of["multiscale"], HEADS))


if __name__ == "__main__":
    main()
