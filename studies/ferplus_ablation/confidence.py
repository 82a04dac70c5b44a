"""Test why networks with the multiscale head are overconfident (docs/experiments/ferplus_ablation.md, "Results").

    python studies/ferplus_ablation/confidence.py

The logits are the sum over three heads, each trained separately to predict the target. If the sum is the reason, the
mean of the heads must be as confident as a single linear head. Input: the archived predictions on FER2013Valid.
"""

from pathlib import Path

import numpy as np
from scipy.special import softmax

from mfer_lightning.evaluation.calibration import expected_calibration_error
from mfer_lightning.evaluation.runs import find_results

HEADS = 3


def row(name: str, tables: list, divisor: int) -> str:
    """Format the mean calibration error and the mean confidence minus accuracy of some runs, with divided logits."""
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
    """Print the three lines of the table."""
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
