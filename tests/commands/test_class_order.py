"""`mfer evaluate` detects swapped class names of a trained model, and does not warn about correct ones."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from commands.conftest import TINY, only_run
from commands.conftest import command as mfer

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.statistics import optimism_gap

#: Classes that are easy to distinguish: each is a colour.
COLOURS = {"anger": (30, 30, 220), "fear": (220, 40, 40), "happiness": (40, 220, 60), "surprise": (210, 210, 210)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("class_order")
    rng = np.random.default_rng(0)
    for part, n in (("train", 24), ("val", 6), ("test", 12)):
        for name, colour in COLOURS.items():
            for i in range(n):
                picture = np.clip(np.array(colour) + rng.normal(0, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
                path = folder / "data" / "folder" / part / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), picture)
    options = ("trainer.max_epochs=3", "optimizer.lr=0.003", "track_test=true", "evaluation.embedding_points=0")
    where = (f"paths.runs={folder / 'runs'}", f"paths.data={folder / 'data'}")
    assert mfer("dataset=folder", *TINY, *options, *where, "loss=ce", "augment=none", "ema=none") == 0
    return only_run(folder / "runs")


def evaluate(run: Path, checkpoint: Path, output: Path) -> dict:
    quiet = ("loader.num_workers=0", "device=cpu", "evaluation.embedding_points=0")
    data = f"paths.data={run.parents[1] / 'data'}"
    assert mfer("evaluate", f"checkpoint={checkpoint}", "dataset=folder", data, f"output={output}", *quiet) == 0
    return json.loads((output / "result.json").read_text(encoding="utf-8"))


def rename(run: Path, to: Path, exchange: dict[str, str]) -> Path:
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    names = checkpoint["mfer"]["class_names"]
    checkpoint["mfer"]["class_names"] = [exchange.get(name, name) for name in names]
    torch.save(checkpoint, to)
    return to


def test_correct_class_names_give_no_warning(trained: Path, tmp_path: Path) -> None:
    result = json.loads((trained / "result.json").read_text(encoding="utf-8"))
    assert result["metrics"]["accuracy"] > 0.9  # otherwise the tests below would prove nothing
    assert not [note for note in result["notes"] if "Check the class order" in note]
    assert not [n for n in evaluate(trained, trained, tmp_path)["notes"] if "Check the class order" in n]


def test_two_swapped_class_names_are_detected(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    swapped = rename(trained, tmp_path / "swapped.ckpt", {"fear": "surprise", "surprise": "fear"})
    result = evaluate(trained, swapped, tmp_path / "out")
    [note] = [note for note in result["notes"] if "Check the class order" in note]
    assert "the names of surprise and fear seem to be swapped" in note
    assert "of fear is predicted as surprise" in note
    out = " ".join(capsys.readouterr().out.split())
    assert "the names of surprise and fear seem to be swapped" in out


@pytest.mark.slow
def test_three_rotated_class_names_are_detected(trained: Path, tmp_path: Path) -> None:
    moved = rename(trained, tmp_path / "moved.ckpt", {"anger": "fear", "fear": "happiness", "happiness": "anger"})
    [note] = [n for n in evaluate(trained, moved, tmp_path / "out")["notes"] if "Check the class order" in n]
    assert "the order of the classes happiness, fear, anger seems to be wrong" in note


def test_every_metric_has_a_confidence_interval(trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text(encoding="utf-8"))
    assert set(result["intervals"]) == set(result["metrics"])
    n = result["n"]
    assert result["intervals"]["accuracy"] == list(wilson(round(result["metrics"]["accuracy"] * n), n))
    low, high = result["intervals"]["nll"]
    assert low <= result["metrics"]["nll"] <= high


def test_optimism_gap_is_computed_from_the_training_log(trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text(encoding="utf-8"))
    gap = optimism_gap(trained / "metrics.csv", result["selection"]["epoch"])
    assert gap is not None
    assert gap.val_selected == pytest.approx(result["metrics"]["accuracy"], abs=1e-6)  # the same checkpoint
    assert gap.gap == pytest.approx(gap.best_on_test - gap.val_selected)
    assert gap.gap >= 0
