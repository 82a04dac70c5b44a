"""Measure the benefit of fine-tuning a bundled model on a folder of labelled photos (docs/own_photos.md).

    python benchmarks/own_photos.py photos --out work

Aligns the faces like the training faces of the model, divides them into two halves stratified by emotion, and uses each
half once for training and once for testing, so that every face is tested once. The output is the accuracy of the
bundled model (``--model``; the default model if not given) and of each variant, with an exact paired test of each
variant against the bundled model. ``photos`` contains ``labels.csv`` (image, emotion). By default, only the working
half of benchmarks/peers.py is used; ``--half all`` uses all photos.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
from collections import defaultdict
from pathlib import Path

from peers import halves
from scipy.stats import binomtest

from mfer_lightning import evaluate, train
from mfer_lightning.align.run import align
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: The recipe that fine-tunes each model, and its learning rate.
RECIPES = {"ferplus": ("bundled/finetune", 5e-4), "ferplus_tiny": ("bundled/finetune_tiny", 1e-3)}


def main() -> None:
    """Run the whole comparison; exit code 2 for photos or labels that cannot be read, or an existing output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", choices=tuple(RECIPES), default="ferplus")
    parser.add_argument("--half", choices=("working", "all"), default="working")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    try:
        run(given)
    except UserError as error:
        parser.exit(2, f"Error: {error}\n")


def run(given: argparse.Namespace) -> None:
    """Align the photos, and evaluate and fine-tune the model on them.

    Args:
        given: the arguments of the script.

    Raises:
        UserError: if the photos or their labels cannot be read, or the output folder exists.
    """
    labels = read_labels(given.photos, given.half)
    if given.out.exists():
        raise UserError(f"--out {given.out} already exists. Choose a new folder.")
    chosen = given.out / "photos"
    for name in labels:
        (chosen / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(given.photos / name, chosen / name)
    align(chosen, given.out / "faces", template="ferplus-48", border="edge", refine=1, second_look=True)
    roots = write_halves(given.out, labels)

    plain = {}
    for root in roots:
        options = {"dataset_name": "folder", "dataset_options": [f"dataset.root={root}"]}
        evaluate(given.model, split="test", output=root / "as_it_is", **options)
        plain |= read(root / "as_it_is")
    show("not fine-tuned", plain)
    recipe, rate = RECIPES[given.model]
    for number, (name, options) in enumerate(variants(rate).items()):
        tuned = {}
        for root in roots:
            runs = root / f"runs{number}"
            train(
                [
                    f"experiment={recipe}",
                    f"dataset.root={root}",
                    f"paths.runs={runs}",
                    "trainer=cpu",
                    *options,
                ]
            )
            tuned |= read(next(runs.glob("*/result.json")).parent)
        show(name, tuned, plain)


def variants(rate: float) -> dict[str, list[str]]:
    """Return the options of each variant in addition to the recipe, whose learning rate is ``rate``."""
    low, high = f"{0.3 * rate:g}", f"{3 * rate:g}"
    return {
        f"fine-tuned, lr={low}": [f"optimizer.lr={low}"],
        f"fine-tuned, lr={rate:g}": [],
        f"fine-tuned, lr={high}": [f"optimizer.lr={high}"],
        f"heads only, lr={high}": ["freeze=backbone", "freeze.epochs=null", f"optimizer.lr={high}"],
        "from random weights": ["weights=none", f"optimizer.lr={high}", "trainer.max_epochs=60"],
    }


def read_labels(photos: Path, half: str) -> dict[str, str]:
    """Return photo -> emotion of ``labels.csv``.

    Args:
        photos: the folder.
        half: ``"all"``, or ``"working"`` for the working half of benchmarks/peers.py.

    Raises:
        UserError: if there is no such table, it lacks a column or rows, or a photo is missing.
    """
    table = photos / "labels.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"Cannot read {table}: {getattr(error, 'strerror', None) or error}.") from error
    if not rows or not all(row.get("image") and row.get("emotion") for row in rows):
        raise UserError(f"{table} must have the columns image and emotion, and a row with both for each photo.")
    labels = {row["image"]: row["emotion"] for row in rows}
    if half == "working":
        labels = {name: labels[name] for name in halves(list(labels))["working"]}
    missing = [name for name in labels if not (photos / name).is_file()]
    if missing:
        raise UserError(f"{table}: {len(missing):,} of {counted(len(labels), 'photo')} missing, e.g. {missing[0]}.")
    return labels


def write_halves(out: Path, labels: dict[str, str]) -> list[Path]:
    """Write two folders with the same faces; the training half of one is the test half of the other."""
    with (out / "faces" / "report.csv").open(newline="") as file:
        faces = sorted((row["output"], labels[row["photo"]]) for row in csv.DictReader(file) if row["output"])
    by_label = defaultdict(list)
    for name, label in faces:
        by_label[label].append(name)
    generator = random.Random(0)
    parts: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    number = 0
    for label in sorted(by_label):
        generator.shuffle(by_label[label])
        for name in by_label[label]:
            parts[number % 2].append((name, label))
            number += 1
    roots = []
    for title, (first, second) in {"first": parts, "second": parts[::-1]}.items():
        root = out / title
        shutil.copytree(out / "faces", root, ignore=shutil.ignore_patterns("report.csv"))
        for part, rows in (("train", first), ("test", second)):
            with (root / f"{part}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([("image", "label"), *sorted(rows)])
        roots.append(root)
    return roots


def read(folder: Path) -> dict[str, tuple[str, str]]:
    """Return path -> (label, prediction) from the test predictions in a folder."""
    with (folder / "predictions_test.csv").open(newline="") as file:
        return {row["path"]: (row["label"], row["pred"]) for row in csv.DictReader(file)}


def show(name: str, found: dict[str, tuple[str, str]], plain: dict[str, tuple[str, str]] | None = None) -> None:
    """Print one row: accuracy with Wilson's interval, mean-class accuracy, faces gained and lost, p-value."""
    right = {path: label == said for path, (label, said) in found.items()}
    interval = binomtest(sum(right.values()), len(right)).proportion_ci(method="wilson")
    by_label = defaultdict(list)
    for path, (label, _) in found.items():
        by_label[label].append(right[path])
    mean = sum(sum(each) / len(each) for each in by_label.values()) / len(by_label)
    accuracy = sum(right.values()) / len(right)
    row = (
        f"{name:22} {100 * accuracy:5.1f}% ({100 * interval.low:.1f} to {100 * interval.high:.1f}) "
        f"of {len(right)}, mean class {100 * mean:.1f}%"
    )
    if plain is not None:
        gained = sum(right[path] and label != said for path, (label, said) in plain.items())
        lost = sum(not right[path] and label == said for path, (label, said) in plain.items())
        row += f", gained {gained}, lost {lost}, p {binomtest(gained, max(1, gained + lost)).pvalue:.3f}"
    print(row, flush=True)


if __name__ == "__main__":
    main()
