"""Measure the error rate and the power of the comparison of two methods.

For the tables of docs/statistics.md::

    python benchmarks/statistics_methods.py errors --repetitions 10000
    python benchmarks/statistics_methods.py power --repetitions 1000
    python benchmarks/statistics_methods.py image-only --repetitions 4000
    python benchmarks/statistics_methods.py intervals --repetitions 1000

All results are simulated with known true accuracies (mfer_lightning.evaluation.statistics.simulation), with random
effects of seeds and images.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.statistics import compare_methods, summarise_seeds
from mfer_lightning.evaluation.statistics.checkpoints import mcnemar
from mfer_lightning.evaluation.statistics.seeds import interval_over_seeds_and_faces
from mfer_lightning.evaluation.statistics.simulation import Setting, expected_spread, simulate_runs

#: RAF-DB and AffectNet-8 in round numbers; with ``interaction`` 0, the same images are hard for both methods.
RAFDB = Setting(images=3000, accuracy=0.92, interaction=0.0)
AFFECTNET = Setting(images=4000, accuracy=0.65, interaction=0.0)
SPREADS = ((0.002, 0.002), (0.004, 0.004), (0.008, 0.008), (0.002, 0.008))
#: Settings in which errors are counted.
SETTINGS = (
    *(replace(RAFDB, spread=spread, interaction=own) for spread in SPREADS for own in (0.0, 1.0)),
    replace(AFFECTNET, spread=(0.004, 0.004)),
    replace(AFFECTNET, spread=(0.002, 0.008), interaction=0.5),
    replace(RAFDB, seeds=(5, 5)),
    replace(RAFDB, seeds=(5, 5), spread=(0.002, 0.008)),
    replace(AFFECTNET, seeds=(5, 5), interaction=1.0),
    replace(RAFDB, seeds=(10, 10), spread=(0.002, 0.008)),
    replace(RAFDB, seeds=(10, 10), interaction=1.0),
    replace(RAFDB, seeds=(3, 5)),
    replace(RAFDB, seeds=(3, 5), spread=(0.008, 0.002)),
    replace(RAFDB, seeds=(3, 10)),
    replace(RAFDB, seeds=(10, 3), spread=(0.002, 0.008)),
)


def rates(setting: Setting, repetitions: int, seed: int) -> tuple[float, float, float]:
    """Return the rate of significant differences, the coverage of intervals, and the median detectable difference."""
    rng = np.random.default_rng(seed)
    called, held, detectable = 0, 0, []
    for _ in range(repetitions):
        found = compare_methods(*simulate_runs(setting, rng))
        called += found.verdict != "tie"
        held += found.low <= setting.difference <= found.high
        detectable.append(found.smallest_detectable)
    return called / repetitions, held / repetitions, float(np.median(detectable))


def errors(repetitions: int, first: int = 0) -> None:
    """Print the rate of false verdicts for equal methods."""
    print("| seeds | accuracy, images | spread (points) | observed spread | own hard images | significant |")
    print("|---|---|---|---|---|---|")
    for number, setting in enumerate(SETTINGS[first:], start=first):
        wrong, _, _ = rates(setting, repetitions, number)
        meant = " / ".join(f"{100 * s:.1f}" for s in setting.spread)
        seen = " / ".join(f"{100 * s:.2f}" for s in expected_spread(setting))
        print(
            f"| {setting.seeds[0]} / {setting.seeds[1]} | {setting.accuracy:.2f}, {setting.images:,} | {meant} "
            f"| {seen} | {setting.interaction:.1f} | {100 * wrong:.2f}% |",
            flush=True,
        )


def power(repetitions: int, first: int = 0) -> None:
    """Print the rate of significant differences for methods that differ."""
    print("| seeds | spread (points) | difference (points): detected in | smallest detectable, median |")
    print("|---|---|---|---|")
    for seeds in ((3, 3), (5, 5), (10, 10)):
        for spread in SPREADS[:3]:
            base = Setting(seeds=seeds, accuracy=0.91, spread=spread)
            cells = []
            for points in (0.5, 1.0, 1.5, 2.0, 3.0):
                found, _, detectable = rates(replace(base, difference=points / 100), repetitions, 7)
                cells.append(f"{points:.1f}: {100 * found:.0f}%")
            print(
                f"| {seeds[0]} / {seeds[1]} | {100 * spread[0]:.1f} | {', '.join(cells)} | {100 * detectable:.2f} |",
                flush=True,
            )


def image_only(repetitions: int, first: int = 0) -> None:
    """Print the error rate of McNemar's test if methods are compared with it, using one seed of each."""
    print("| spread (points) | significant |")
    print("|---|---|")
    for spread in (0.0, 0.002, 0.003, 0.004, 0.008):
        setting = Setting(seeds=(1, 1), accuracy=0.92, spread=(spread, spread), interaction=0.0)
        rng = np.random.default_rng(0)
        wrong = 0
        for _ in range(repetitions):
            a, b = simulate_runs(setting, rng)
            wrong += mcnemar(int((a & ~b).sum()), int((b & ~a).sum()))[1] < 0.05
        print(f"| {100 * spread:.1f} | {100 * wrong / repetitions:.1f}% |", flush=True)


def intervals(repetitions: int, first: int = 0) -> None:
    """Print how often intervals of a mean over seeds contain the method's accuracy on infinitely many images."""
    print("| accuracy, images | spread (points) | seeds | over seeds | over faces | over seeds and faces |")
    print("|---|---|---|---|---|---|")
    for base in (RAFDB, replace(AFFECTNET, images=500)):
        for spread in (0.002, 0.008, 0.03):
            for seeds in (3, 5, 10):
                setting, rng = replace(base, spread=(spread, spread), seeds=(seeds, 1)), np.random.default_rng(0)
                held = np.zeros(3)
                for _ in range(repetitions):
                    right, _ = simulate_runs(setting, rng)
                    values, faces = right.mean(axis=1), [wilson(int(row.sum()), len(row)) for row in right]
                    over_seeds = summarise_seeds(values)
                    ends = [(over_seeds.low, over_seeds.high), np.mean(faces, axis=0)]
                    ends.append(interval_over_seeds_and_faces(values, faces))
                    held += [low <= setting.accuracy <= high for low, high in ends]
                cells = " | ".join(f"{100 * share:.1f}%" for share in held / repetitions)
                print(f"| {base.accuracy:.2f}, {base.images:,} | {100 * spread:.1f} | {seeds} | {cells} |", flush=True)


def main() -> None:
    """Read the command line and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("errors", "power", "image-only", "intervals"))
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of settings of `errors` to skip at the start")
    arguments = parser.parse_args()
    tables = {"errors": errors, "power": power, "image-only": image_only, "intervals": intervals}
    tables[arguments.what](arguments.repetitions, arguments.first)


if __name__ == "__main__":
    main()
