"""Artificial runs: predictions of known quality in folders with the real layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from class_orders import CLASS_ORDERS

from mfer_lightning.data.protocols import BEST_ON_TEST, BEST_ON_VAL
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION
from mfer_lightning.inference.predict_split import write_features

#: A configuration with some of the nodes of a real one.
CONFIG: Mapping[str, Any] = {
    "paths": {"data": "data", "runs": "runs", "cache": None},
    "dataset": {"name": "rafdb", "root": "data/raf-db", "label_noise": 0.0},
    "backbone": {"name": "convnext_tiny", "options": {}},
    "attention": {"name": "none"},
    "head": {"name": "linear"},
    "weights": "none",
    "loss": {"name": "ce", "feature": None, "feature_weight": 0.0},
    "optimizer": {"name": "adamw", "lr": 0.001},
    "trainer": {"max_epochs": 3, "accelerator": "cpu"},
    "evaluation": {"flip": False, "embedding_points": 0},
    "logger": {"name": "csv"},
    "seed": 0,
    "track_test": False,
}
MEMORY: Mapping[str, Any] = {"peak_memory_bytes": 10**9}
#: Options that follow from the choice of a loss.
LOSSES: Mapping[str, Mapping[str, Any]] = {
    "ce": {"name": "ce", "feature": None, "feature_weight": 0.0},
    "dsf": {"name": "dsf", "feature": {"temperature": 0.25}, "feature_weight": 0.3},
    "lgm": {"name": "lgm", "feature": {"margin": 0.1}, "feature_weight": 1.0},
}


def write_run(
    parent: Path,
    loss: str = "ce",
    attention: str = "none",
    seed: int = 0,
    *,
    accuracy: float = 0.7,
    n: int = 210,
    protocol: str = "rafdb@holdout",
    split: str = "test",
    class_names: Sequence[str] | None = None,
    changes: Mapping[str, Any] | None = None,
    name: str | None = None,
    shift: int = 0,
    features: bool = True,
    track_test: bool = False,
) -> Path:
    """Write a finished run whose predictions are correct with the given probability per face.

    The same faces are hard in every run, as in reality; another ``shift`` makes other faces hard. ``changes`` maps
    dotted names in the configuration to their new values.
    """
    dataset = protocol.partition("@")[0]
    rule = BEST_ON_TEST if protocol.endswith("@paper") else BEST_ON_VAL
    config = json.loads(json.dumps(CONFIG))
    config |= {"loss": dict(LOSSES.get(loss, {"name": loss})), "attention": {"name": attention}, "seed": seed}
    config["dataset"]["name"] = dataset
    for dotted, value in (changes or {}).items():
        *parents, leaf = dotted.split(".")
        node = config
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = value
    names = tuple(class_names or CLASS_ORDERS.get(dataset, CLASS_ORDERS["rafdb"]))
    table = predictions(names, n, accuracy, seed=abs(hash_of(loss, attention, seed)), shift=shift)
    folder = parent / (name or f"{dataset}-{loss}-{attention}-s{seed}")
    table.to_csv(folder / f"predictions_{split}.csv")
    if features:
        rng = np.random.default_rng(seed)
        centres = 3 * np.eye(len(names), 12)
        values = centres[table.label] + rng.normal(size=(n, 12))
        skin = np.arange(n) % 3
        write_features(
            folder / f"features_{split}.npz", table.index, values.astype(np.float32), table.label, {"skin": skin}
        )
    test = ",track_test/accuracy" if track_test else ""
    rows = [
        f"{e},{3 - e / 2:.3f},{0.3 + e / 10:.3f},{2 - e / 3:.3f}"
        + (f",{0.4 + 0.1 * (e % 2):.3f}" if track_test else "")
        for e in range(3)
    ]
    (folder / "metrics.csv").write_text(f"epoch,train/loss,val/accuracy,val/nll{test}\n" + "\n".join(rows) + "\n")
    (folder / "config.yaml").write_text("seed: 0\n")
    result = {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset,
        "protocol": protocol,
        "split": split,
        "evaluation_set": "all of test",
        **evaluate(table),
        "selection": {"rule": rule, "monitor": "accuracy", "split": "val", "epoch": 2, "value": 0.5},
        "seed": seed,
        "config": config,
        "data_hash": "ab" * 32,
        "cost": {"parameters": 10_000_000, "gflops": 1.5, "seconds": 60.0, "images_per_second": 900.0, **MEMORY},
        "git": {"commit": "c" * 40, "dirty": False, "diff_sha256": None},
        "versions": {"python": "3.11", "torch": "2.14"},
        "hardware": {"processor": "a processor", "cores": 2, "threads": 2, "gpus": []},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def hash_of(*parts: object) -> int:
    """Return a hash that is the same in every process, unlike ``hash``."""
    return int.from_bytes("/".join(map(str, parts)).encode()[-12:], "big")


def predictions(names: Sequence[str], n: int, accuracy: float, seed: int, shift: int = 0) -> Predictions:
    """Return predictions that are correct for easy faces, and a random wrong class for the others."""
    k = len(names)
    hardness = np.random.default_rng(1000 + shift).random(n)
    rng = np.random.default_rng(seed)
    label = np.arange(n) % k
    right = hardness + 0.15 * rng.normal(size=n) < accuracy
    said = np.where(right, label, (label + 1 + rng.integers(0, k - 1, n)) % k)
    logits = 0.3 * rng.normal(size=(n, k))
    logits[np.arange(n), said] += 2.5
    paths = [f"test/{i:05d}.jpg" for i in range(n)]
    return Predictions(np.arange(n), paths, label, logits, tuple(names))


def change(run: Path, **fields: Any) -> None:
    """Change fields of a run's result."""
    path = run / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
