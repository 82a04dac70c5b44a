"""Time ``mfer report`` on artificial runs: ``python benchmarks/report.py``.

Writes runs with the real layout (predictions, features, curves, results) to a temporary folder, by default 10 methods
with 3 seeds and 10,000 faces each, and writes their report three times: without t-SNE, with t-SNE, and with embeddings
stored in the runs. docs/report.md contains measured times.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION
from mfer_lightning.figures.plane import plane_of
from mfer_lightning.inference.predict_split import write_features
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.pages.document import Options
from mfer_lightning.reporting.pages.write import write_report


def write_run(folder: Path, loss: str, attention: str, seed: int, faces: int, width: int) -> None:
    """Write one run with random predictions and an accuracy of about 68%."""
    rng = np.random.default_rng([len(loss), len(attention), seed])
    k = len(EMOTIONS)
    label = np.arange(faces) % k
    said = np.where(rng.random(faces) < 0.7, label, rng.integers(0, k, faces))
    logits = rng.normal(size=(faces, k))
    logits[np.arange(faces), said] += 3
    paths = [f"test/{i:06d}.jpg" for i in range(faces)]
    table = Predictions(np.arange(faces), paths, label, logits, EMOTIONS)
    table.to_csv(folder / "predictions_test.csv")
    feature = rng.normal(size=(faces, width)).astype(np.float32) + np.eye(k, width, dtype=np.float32)[label] * 4
    write_features(folder / "features_test.npz", table.index, feature, label, {"skin": label % 3})
    rows = "\n".join(f"{e},{2 / (e + 1)},{0.7 - 1 / (e + 2)},{1 / (e + 1)}" for e in range(60))
    (folder / "metrics.csv").write_text(f"epoch,train/loss,val/accuracy,val/nll\n{rows}\n")
    (folder / "config.yaml").write_text("")
    result = {
        "schema_version": SCHEMA_VERSION,
        "dataset": "affectnet8",
        "protocol": "affectnet8@native",
        "split": "test",
        "evaluation_set": "all of val",
        **evaluate(table),
        "selection": {"rule": "best epoch on val", "monitor": "accuracy", "split": "val", "epoch": 59, "value": 0.7},
        "seed": seed,
        "config": {"loss": {"name": loss}, "attention": {"name": attention}, "seed": seed},
        "cost": {"parameters": 10**8, "gflops": 15.0, "seconds": 3600.0},
        "git": None,
        "versions": {},
        "hardware": {},
    }
    (folder / "result.json").write_text(json.dumps(result))


def keep_plane(file: Path) -> None:
    """Add a stored t-SNE embedding to a run."""
    with np.load(file) as stored:
        index, feature, label, skin = (stored[name] for name in ("index", "feature", "label", "attribute_skin"))
    write_features(file, index, feature, label, {"skin": skin}, plane_of(feature, label, 1500))


def main() -> None:
    """Write runs, make reports, print times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=10_000)
    parser.add_argument("--losses", type=int, default=5, help="number of losses, each with two kinds of attention")
    parser.add_argument("--seeds", type=int, default=3, help="seeds per method")
    parser.add_argument("--width", type=int, default=1024, help="width of the features")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "runs"
        for loss in range(options.losses):
            for attention in ("none", "ds"):
                for seed in range(options.seeds):
                    name = f"loss{'x' * loss}"
                    write_run(root / f"{name}-{attention}-{seed}", name, attention, seed, options.faces, options.width)
        count = options.losses * 2 * options.seeds
        print(f"{counted(count, 'run')}, {counted(options.faces, 'prediction')} each, features {options.width} wide")
        for words, embedding in (("without t-SNE", "none"), ("t-SNE computed", "tsne"), ("t-SNE of the runs", "tsne")):
            if words == "t-SNE of the runs":
                for file in root.rglob("features_test.npz"):
                    keep_plane(file)
            wall, processor = time.perf_counter(), time.process_time()
            write_report([str(root)], Path(scratch) / "report", Options(embedding=embedding))
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            size = (Path(scratch) / "report" / "report.html").stat().st_size / 1e6
            print(
                f"{words}: {wall:.1f} s of wall time, {processor:.1f} s of this process, page {size:.1f} MB", flush=True
            )


if __name__ == "__main__":
    main()
