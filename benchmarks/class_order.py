"""Measure the false alarms of the class-order check on correct names, and its detection rate on swapped names.

python benchmarks/class_order.py       # half a minute
"""

from __future__ import annotations

import numpy as np

from mfer_lightning.data.datasets.registry import dataset_info
from mfer_lightning.evaluation.class_order import doubt_class_order

NAMES = dataset_info("ferplus").class_names


def confusion(recall: float, faces: np.ndarray, rng: np.random.Generator, concentration: float) -> np.ndarray:
    """Draw the confusion matrix (K,K) of a model with the same recall for all classes and random confusions.

    Args:
        recall: probability of a correct prediction.
        faces: number of faces per class, (K,).
        rng: random generator.
        concentration: concentration of the Dirichlet distribution of the errors; small values concentrate the
            errors on few classes.
    """
    rows = []
    for k, n in enumerate(faces):
        p = np.insert(rng.dirichlet(np.full(len(NAMES) - 1, concentration)), k, 0.0) * (1 - recall)
        p[k] = recall
        rows.append(rng.multinomial(n, p))
    return np.stack(rows)


def main() -> None:
    """Print both rates."""
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(10_000):
        matrix = confusion(rng.uniform(0.3, 1.0), rng.integers(0, 80, 8), rng, rng.choice([0.1, 1.0, 10.0]))
        alarms += doubt_class_order(matrix, NAMES) is not None
    print(f"false alarms: {alarms} of 10,000 models, recalls 30 to 100%, up to 79 faces per class")
    print("| recall | 8 faces per class | 16 | 40 | 74 |")
    print("|---|---|---|---|---|")
    order = np.arange(8)
    order[[2, 5]] = order[[5, 2]]
    for recall in (0.5, 0.6, 0.7, 0.9):
        cells = []
        for faces in (8, 16, 40, 74):
            drawn = [confusion(recall, np.full(8, faces), rng, 1.0)[:, order] for _ in range(200)]
            cells.append(f"{sum(doubt_class_order(m, NAMES) is not None for m in drawn) / 2:.0f}%")
        print(f"| {100 * recall:.0f}% | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
