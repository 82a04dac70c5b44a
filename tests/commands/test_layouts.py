"""Layouts of RAF-DB, AffectNet, FERPlus and folder datasets as tiny trees: dataset checks and a training step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands.conftest import TINY, Mfer, only_run
from data.layout_trees import write_affectnet_csv, write_affectnet_npy, write_class_folders, write_rafdb, write_table
from data.trees import write_ferplus, write_ferplus_pair

from mfer_lightning.emotions import EMOTIONS


@dataclass(frozen=True)
class Layout:
    """A dataset tree and what the commands should report about it."""

    dataset: str
    folder: str
    write: Callable[[Path], object]
    words: str  # part of the detected layout's name
    protocol: str
    test: int  # number of reported faces
    quick: bool = False


SEVEN = EMOTIONS[:7]
LAYOUTS = {
    "rafdb, list with aligned images": Layout(
        "rafdb", "raf-db", lambda r: write_rafdb(r, train=140), "list", "rafdb@holdout", 14, quick=True
    ),
    "rafdb, flat train and valid": Layout(
        "rafdb", "raf-db", lambda r: write_rafdb(r, "flat", train=140), "train", "rafdb@holdout", 14
    ),
    "rafdb, folders 1 to 7": Layout(
        "rafdb", "raf-db", lambda r: write_rafdb(r, "classes", train=140), "class", "rafdb@holdout", 14
    ),
    "rafdb, folders with names": Layout(
        "rafdb", "raf-db", lambda r: write_rafdb(r, "classes", train=140, by_name=True), "class", "rafdb@holdout", 14
    ),
    "affectnet7, csv with boxes": Layout(
        "affectnet7", "affectnet", write_affectnet_csv, "csv", "affectnet7@native", 21, quick=True
    ),
    "affectnet8, csv with boxes": Layout(
        "affectnet8", "affectnet", write_affectnet_csv, "csv", "affectnet8@native", 24
    ),
    "affectnet8, npy with val_set": Layout(
        "affectnet8", "affectnet", write_affectnet_npy, "npy", "affectnet8@native", 24, quick=True
    ),
    "affectnet7, npy with valid_set": Layout(
        "affectnet7", "affectnet", lambda r: write_affectnet_npy(r, val_folder="valid_set"), "npy",
        "affectnet7@native", 21,
    ),
    "affectnet8, ImageFolder copy": Layout(
        "affectnet8", "affectnet", lambda r: write_class_folders(r, {"train": 240, "val": 24}), "class",
        "affectnet8@native", 24,
    ),
    "ferplus, PNG folders": Layout(
        "ferplus", "ferplus", lambda r: write_ferplus(r), "PNG folders", "ferplus@majority", 16, quick=True
    ),
    "ferplus, csv pair": Layout(
        "ferplus", "ferplus", lambda r: write_ferplus_pair(r, {"train": 64, "val": 16, "test": 16}), "fer2013",
        "ferplus@majority", 16,
    ),
    "folder, classes": Layout(
        "folder", "folder", lambda r: write_class_folders(r, {"train": 70, "val": 14, "test": 14}, SEVEN), "class",
        "folder@native", 14,
    ),
    "folder, csv": Layout(
        "folder", "folder",
        lambda r: write_table(
            r,
            [f"{p}{i}.png,{SEVEN[i % 7]},{p}" for p, n in (("train", 70), ("val", 14), ("test", 14)) for i in range(n)],
            header="path,label,split",
        ),
        "csv", "folder@native", 14,
    ),
}  # fmt: skip
CASES = [
    pytest.param(layout, id=name, marks=() if layout.quick else (pytest.mark.slow,)) for name, layout in LAYOUTS.items()
]


@pytest.mark.parametrize("layout", CASES)
def test_layout_is_recognised_and_a_training_step_runs(
    layout: Layout, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    layout.write(tmp_path / "data" / layout.folder)
    where = [f"dataset={layout.dataset}", "paths.data=data", f"paths.cache={tmp_path / 'cache'}"]
    if layout.dataset == "folder":
        where.append("dataset.root=data/folder")
    assert mfer("data", *where, "--json", "sheet=none") == 1  # a tiny copy is incomplete
    said = json.loads(capsys.readouterr().out)
    assert layout.words.lower() in said["layout"].lower()
    assert said["protocol"] == layout.protocol
    assert sum(said["counts"]["test"]) == layout.test
    assert not [f for f in said["findings"] if f["severity"] == "error"]

    small = [o for o in TINY if not o.startswith("trainer.max_epochs")]
    steps = ("trainer.max_epochs=1", "trainer.limit_train_batches=1", "backbone=convnext_atto", "loader.batch_size=8")
    assert mfer(*where, *small, *steps, "preprocess.mean=half", "evaluation.embedding_points=0") == 0
    result = json.loads((only_run(tmp_path / "runs") / "result.json").read_text())
    assert (result["protocol"], result["split"], result["n"]) == (layout.protocol, "test", layout.test)


def test_ferplus_without_test_folder_trains_and_reports_selection_metrics(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_ferplus(tmp_path / "data" / "ferplus", {"train": 64, "val": 16})
    where = ("dataset=ferplus", "paths.data=data", f"paths.cache={tmp_path / 'cache'}")
    assert mfer("data", *where, "--json", "images=none") == 1
    found = {f["code"]: f["message"] for f in json.loads(capsys.readouterr().out)["findings"]}
    assert "The test files are missing" in found["no-test"]
    assert mfer(*where, *TINY, "backbone=convnext_atto", "trainer.limit_train_batches=1") == 0
    result = json.loads((only_run(tmp_path / "runs") / "result.json").read_text())
    assert result["split"] == "val"
    assert "a selection result" in capsys.readouterr().out.replace("\n", " ")
