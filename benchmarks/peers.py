"""Compare emotion models of other packages with ours on the same pictures, with the same statistics (docs/peers.md).

    python benchmarks/peers.py peers --ferplus data/ferplus --photos data/photos --ours tiny=runs/<run> \
        --peer "fer=envs/fer/bin/python benchmarks/peers/fer_package.py"

Each peer runs in its own environment, through a small adapter in `benchmarks/peers/`: a command with the
arguments `crops` or `photos`, a list of pictures and the name of the csv file to write. It gets no labels. This script
reads the csv files and compares them.

- `crops`: FER2013Valid under `ferplus@dev`, each classifier with its own preprocessing, no detector.
- `photos`: half of a folder of photos with `labels.csv` (image, emotion), each detector with its classifier. The face
  with the largest box is used. A photo in which no face is found counts as an error. The halves are fixed; the half
  `final` is for a single final evaluation, when all choices have been made.

If a model lacks the class contempt, the class is excluded for all models: faces with this label are removed, and the
remaining probabilities of the other models are renormalised.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.datasets.ferplus import CLASSES, read_ferplus
from mfer_lightning.data.datasets.registry import get_protocol
from mfer_lightning.data.splits import make_splits
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.intervals import mean_of_wilson, wilson
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.statistics.checkpoints import compare_checkpoints
from mfer_lightning.evaluation.statistics.multiple import holm
from mfer_lightning.inference.match_classes import match_classes

HERE = Path(__file__).resolve().parent
MISS = "no face"  # prediction if no face was found; no face has this label
TASKS = {"crops": "classifier only, FER2013Valid crops", "photos": "detector and classifier, photos"}
BOX = ("x", "y", "width", "height")
WARM_UP = 10  # untimed pictures at the start, for just-in-time compilers and lazy loading


@dataclass(frozen=True)
class Faces:
    """Labelled pictures. ``label`` (N,) int64 is an index into ``class_names``."""

    pictures: tuple[str, ...]
    label: NDArray[np.int64]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """Answers of one model: ``shares`` (N,K) float64, a row of NaN if no face was found; ``cpu_ms`` (N,)."""

    class_names: tuple[str, ...]
    shares: NDArray[np.float64]
    cpu_ms: NDArray[np.float64]


def crops(root: Path) -> Faces:
    """Return the reported faces of ``ferplus@dev``: FER2013Valid with majority labels."""
    index = read_ferplus(root)
    split = make_splits(index, get_protocol("ferplus", "dev"), needed=("test",)).test
    return Faces(tuple(str(root / path) for path in index.path[split.rows]), split.label, tuple(CLASSES))


def photos(root: Path, half: str) -> Faces:
    """Return one half of the photos of ``labels.csv``: sorted by name, shuffled with seed 2026, split in the middle."""
    with (root / "labels.csv").open(newline="", encoding="utf-8") as file:
        emotion = {row["image"]: canonical(row["emotion"]) for row in csv.DictReader(file)}
    names = halves(list(emotion))[half]
    unknown = sorted({emotion[name] for name in names} - set(CLASSES))
    if unknown:
        raise UserError(f"{root / 'labels.csv'}: {unknown[0]} is not one of {', '.join(CLASSES)}.")
    label = np.array([CLASSES.index(emotion[name]) for name in names], dtype=np.int64)
    return Faces(tuple(str(root / name) for name in names), label, tuple(CLASSES))


def halves(names: Sequence[str]) -> dict[str, list[str]]:
    """Split names into a working half and a final half, independent of their order."""
    shuffled = sorted(names)
    random.Random(2026).shuffle(shuffled)
    return {"working": shuffled[: len(shuffled) // 2], "final": shuffled[len(shuffled) // 2 :]}


def read_answers(path: Path, pictures: Sequence[str]) -> Answers:
    """Read the csv file of a model: one row for each picture, in the same order.

    Raises:
        UserError: if pictures are missing or reordered, or a row is neither a miss nor a distribution.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = [row["picture"] for row in rows]
    if asked != list(pictures):
        pairs = itertools.zip_longest(asked, pictures)
        line, (got, wanted) = next((n, pair) for n, pair in enumerate(pairs, start=2) if pair[0] != pair[1])
        raise UserError(
            f"{path}, line {line}: expected the prediction for {wanted}, but got {got}. Run the adapter again."
        )
    names = [name for name in rows[0] if name not in ("picture", "cpu_ms", *BOX)]
    shares = np.array([[float(row[name] or "nan") for name in names] for row in rows])
    missed = np.isnan(shares).all(axis=1)
    wrong = ~missed & ~(np.isfinite(shares).all(axis=1) & (shares >= 0).all(axis=1) & (shares.sum(axis=1) > 0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise UserError(f"{path}, line {row + 2}: expected probabilities or empty cells, but got {shares[row]}.")
    return Answers(tuple(map(canonical, names)), shares, np.array([float(row["cpu_ms"] or "nan") for row in rows]))


def as_predictions(faces: Faces, answers: Answers, drop: Sequence[str]) -> Predictions:
    """Convert answers to a table of predictions over the common classes and :data:`MISS`.

    Args:
        faces: the pictures.
        answers: answers of one model.
        drop: classes to leave out: faces with these labels, and the probabilities of these classes.
    """
    match = match_classes(answers.class_names, faces.class_names, drop)
    label = match.to_common[faces.label]
    kept = np.flatnonzero(label >= 0)
    shares = answers.shares[kept][:, match.columns]
    missed = np.isnan(shares).any(axis=1)
    floor = np.log(1e-12)
    logits = np.log(np.maximum(np.nan_to_num(shares), 1e-12))  # the softmax of these divides by the sum
    logits[missed] = floor
    logits = np.column_stack([logits, np.where(missed, 0.0, floor - 1)])
    paths = [faces.pictures[row] for row in kept]
    return Predictions(kept, paths, label[kept], logits, (*match.names, MISS))


def left_out(answers: Mapping[str, Answers]) -> list[str]:
    """Return contempt if a model lacks it; other differences are rejected when classes are matched."""
    return [] if all("contempt" in one.class_names for one in answers.values()) else ["contempt"]


def figures(table: Predictions) -> dict:
    """Measure one model: accuracy, mean-class accuracy and recalls, each with its 95% interval, and misses."""
    found = evaluate(table)
    right, missed = table.pred == table.label, table.pred == table.class_names.index(MISS)
    n = [found["per_class"][name]["n"] for name in table.class_names if found["per_class"][name]["n"]]
    present = [k for k, name in enumerate(table.class_names) if found["per_class"][name]["n"]]
    hits = [int(right[table.label == k].sum()) for k in present]
    return {
        "n": len(table),
        "misses": int(missed.sum()),
        "accuracy": found["metrics"]["accuracy"],
        "accuracy_interval": wilson(int(right.sum()), len(table)),
        "accuracy_where_found": float(right[~missed].mean()) if (~missed).any() else None,
        "mean_class_accuracy": found["metrics"]["mean_class_accuracy"],
        "mean_class_interval": mean_of_wilson(hits, n),
        "recall": {
            table.class_names[k]: {"n": count, "recall": hit / count, "interval": wilson(hit, count)}
            for k, hit, count in zip(present, hits, n, strict=True)
        },
    }


def compare(tables: Mapping[str, Predictions], ours: Sequence[str]) -> list[dict]:
    """Compare each of our models with each peer (without ours: each pair of peers), with Holm's correction."""
    peers = [name for name in tables if name not in ours]
    pairs = list(itertools.product(ours, peers)) if ours else list(itertools.combinations(peers, 2))
    found = [compare_checkpoints(tables[a], tables[b]) for a, b in pairs]
    adjusted = holm([one.p_mid for one in found]) if found else []
    return [
        {"a": a, "b": b, "only_a": one.only_a, "only_b": one.only_b, "difference": one.difference}
        | {"interval": (one.low, one.high), "p": one.p_mid, "adjusted_p": float(p)}
        for (a, b), one, p in zip(pairs, found, adjusted, strict=True)
    ]


def ask(command: Sequence[str], task: str, pictures: Sequence[str], answers: Path) -> Answers:
    """Run an adapter with one thread, and read its output; raise UserError if it fails."""
    answers.with_suffix(".json").unlink(missing_ok=True)
    listing = answers.with_suffix(".txt")
    listing.write_text("".join(f"{picture}\n" for picture in pictures), encoding="utf-8")
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    environment = os.environ | dict.fromkeys(threads, "1")
    line = [*command, task, str(listing), str(answers)]
    written = subprocess.run(line, env=environment, capture_output=True, text=True)
    if written.returncode:
        raise UserError(f"{shlex.join(command)} {task} failed:\n{written.stderr[-2000:]}")
    return read_answers(answers, pictures)


def speeds(commands: Mapping[str, Sequence[str]], task: str, pictures: Sequence[str], out: Path, rounds: int) -> dict:
    """Measure CPU milliseconds per picture, in rounds in which all models process the same pictures one after another.

    This is the processor time of all threads, without waiting, loading, reading and decoding. Other load on the machine
    still increases it, so the result is the smallest mean of the rounds, and only the ratio to the first model should
    be quoted.
    """
    means: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            spent = ask(command, task, pictures, out / f"{name}-{task}-speed.csv").cpu_ms[WARM_UP:]
            means[name].append(float(np.mean(spent)))
    first = min(next(iter(means.values())))
    return {
        name: {
            "cpu_ms": min(each),
            "rounds": each,
            "per_second": 1000 / min(each),
            "times_the_first": first / min(each),
        }
        for name, each in means.items()
    }


def share(value: float | None, interval: Sequence[float] | None = None) -> str:
    """Format a proportion in percent, with its interval."""
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + ("" if interval is None else f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})")


def markdown(task: str, result: Mapping) -> str:
    """Format the tables of one task."""
    names = list(result["figures"])
    dropped = f", without {', '.join(result['left_out'])}" if result["left_out"] else ""
    n = result["figures"][names[0]]["n"]
    lines = [f"### {TASKS[task]}: {n} faces{dropped}", ""]
    lines += ["| model | accuracy % | mean-class % | no face | accuracy on detected faces % |", "|---|---|---|---|---|"]
    for name, one in result["figures"].items():
        cells = [share(one["accuracy"], one["accuracy_interval"])]
        cells += [share(one["mean_class_accuracy"], one["mean_class_interval"])]
        cells += [str(one["misses"]), share(one["accuracy_where_found"])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"| recall % | faces | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for emotion, first in result["figures"][names[0]]["recall"].items():
        recalls = [result["figures"][name]["recall"][emotion] for name in names]
        cells = " | ".join(share(one["recall"], one["interval"]) for one in recalls)
        lines.append(f"| {emotion} | {first['n']} | {cells} |")
    if result["pairs"]:
        lines += [
            "",
            "| a | b | a - b, points | only a correct | only b correct | p (Holm) |",
            "|---|---|---|---|---|---|",
        ]
        for pair in result["pairs"]:
            ends = [100 * end for end in pair["interval"]]
            gap = f"{100 * pair['difference']:+.1f} ({ends[0]:+.1f} to {ends[1]:+.1f})"
            p = "< 0.0001" if pair["adjusted_p"] < 1e-4 else f"{pair['adjusted_p']:.4f}"
            lines.append(f"| {pair['a']} | {pair['b']} | {gap} | {pair['only_a']} | {pair['only_b']} | {p} |")
    if result["speed"]:
        lines += ["", "| model | CPU ms per picture | pictures/s on one core | times the first |", "|---|---|---|---|"]
        for name, one in result["speed"].items():
            lines.append(f"| {name} | {one['cpu_ms']:.1f} | {one['per_second']:.1f} | {one['times_the_first']:.2f} |")
    return "\n".join(lines) + "\n"


def named(text: str) -> tuple[str, str]:
    """Read ``name=value``."""
    name, sign, value = text.partition("=")
    if not (sign and name and value):
        raise argparse.ArgumentTypeError(f"expected name=value, but got {text!r}")
    return name, value


def main() -> None:
    """Run all models, compare them, and write ``peers.json`` and ``peers.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the predictions and the result")
    parser.add_argument("--ferplus", type=Path, help="folder of FERPlus, for the table of crops")
    parser.add_argument("--photos", type=Path, help="folder of photos with labels.csv, for the table of photos")
    parser.add_argument("--half", choices=("working", "final"), default="working", help="which half of the photos")
    parser.add_argument("--ours", type=named, action="append", default=[], help="<name>=<run, checkpoint or export>")
    parser.add_argument("--peer", type=named, action="append", default=[], help="<name>=<command of its adapter>")
    parser.add_argument("--keep", action="store_true", help="reuse answers that are already in the folder")
    parser.add_argument("--speed", type=int, default=0, metavar="ROUNDS", help="rounds of the speed measurement")
    parser.add_argument("--speed-pictures", type=int, default=60, help="pictures per round")
    options = parser.parse_args()
    commands = {n: [sys.executable, str(HERE / "peers" / "ours.py"), where] for n, where in options.ours}
    commands |= {name: shlex.split(command) for name, command in options.peer}
    if len(commands) < len(options.ours) + len(options.peer) or not commands:
        parser.error("name at least one model, each with a different name, with --ours or --peer")
    tasks = {"crops": crops(options.ferplus)} if options.ferplus else {}
    tasks |= {"photos": photos(options.photos, options.half)} if options.photos else {}
    options.out.mkdir(parents=True, exist_ok=True)
    results, text = {}, []
    for task, faces in tasks.items():
        answers = {}
        for name, command in commands.items():
            path = options.out / f"{name}-{task}.csv"
            kept = options.keep and path.with_suffix(".json").is_file()  # adapters write the json file last
            answers[name] = read_answers(path, faces.pictures) if kept else ask(command, task, faces.pictures, path)
        drop = left_out(answers)
        tables = {name: as_predictions(faces, one, drop) for name, one in answers.items()}
        some = faces.pictures[: options.speed_pictures]
        results[task] = {
            "left_out": drop,
            "figures": {name: figures(table) for name, table in tables.items()},
            "pairs": compare(tables, [name for name, _ in options.ours]),
            "speed": speeds(commands, task, some, options.out, options.speed) if options.speed else {},
            "facts": {name: json.loads((options.out / f"{name}-{task}.json").read_text("utf-8")) for name in commands},
        }
        text.append(markdown(task, results[task]))
    (options.out / "peers.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.out / "peers.md").write_text("\n".join(text), encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
