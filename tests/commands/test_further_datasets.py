"""ExpW, CAER-S, SFEW, RAF-DB compound, CK+ and JAFFE through the command line: data, train, evaluate, report."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands.conftest import TINY, Mfer, only_run
from data.further_trees import write_caers, write_ckplus, write_expw, write_jaffe, write_rafdb_compound, write_sfew

from mfer_lightning.data.datasets.caers import read_caers
from mfer_lightning.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Case:
    """A dataset tree and what the commands should report about it."""

    folder: str
    write: Callable[[Path], Path]
    layout: str
    protocol: str
    test: int
    classes: int = 7
    counted: bool = True  # whether the number of faces of a complete copy is known


CASES = {
    "expw": Case("expw", write_expw, "label.lst with photos", "expw@photo", 28),
    "caers": Case(
        "caer-s", lambda r: write_caers(r, "aligned"), "faces found by mfer align", "caers@holdout", 14, counted=False
    ),
    "sfew": Case("sfew", write_sfew, "published aligned faces", "sfew@native", 14),
    "rafdb_compound": Case(
        "raf-db", write_rafdb_compound, "compound list with Image/aligned", "rafdb_compound@holdout", 22, 11
    ),
    "ckplus": Case("ckplus", write_ckplus, "sequences with Emotion", "ckplus@kfold10", 42),
    "jaffe": Case("jaffe", write_jaffe, "pictures named by person and expression", "jaffe@loso", 14),
}
SMALL = (
    *(option for option in TINY if not option.startswith("trainer.max_epochs")),
    "trainer.max_epochs=1",
    "backbone=convnext_atto",
    "loader.batch_size=8",
    "preprocess.mean=half",
    "evaluation.embedding_points=0",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_dataset_works_with_every_command(name: str, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    case = CASES[name]
    case.write(tmp_path / "data" / case.folder)
    where = (f"dataset={name}", "paths.data=data", f"paths.cache={tmp_path / 'cache'}")
    assert mfer("data", *where, "--json", "sheet=none") == int(case.counted)  # a tiny copy is incomplete
    said = json.loads(capsys.readouterr().out)
    assert (said["layout"], said["protocol"], sum(said["counts"]["test"])) == (case.layout, case.protocol, case.test)
    assert len(said["class_names"]) == case.classes
    assert not [f for f in said["findings"] if f["severity"] == "error"]

    assert mfer(*where, *SMALL) == 0
    run = only_run(tmp_path / "runs")
    result = json.loads((run / "result.json").read_text())
    assert (result["protocol"], result["split"], result["n"]) == (case.protocol, "test", case.test)

    capsys.readouterr()
    assert mfer("evaluate", f"checkpoint={run}", "split=val", f"paths.cache={tmp_path / 'cache'}") == 0
    assert "trains on faces of this split" not in capsys.readouterr().out
    assert mfer("evaluate", f"checkpoint={run}", f"paths.cache={tmp_path / 'cache'}") == 0
    evaluated = json.loads(next(run.glob("evaluations/*-test*/result.json")).read_text())
    assert evaluated["confusion"] == result["confusion"]
    assert evaluated["evaluation_set"] == result["evaluation_set"]
    assert not [note for note in evaluated["notes"] if "trained under" in note]

    assert mfer("report", str(run), "embedding=none") == 0
    assert f"{case.protocol}, test" in (run / "report" / "tables" / "runs.csv").read_text()


@pytest.mark.slow
def test_study_over_folds_gives_one_aggregate_metric(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_ckplus(tmp_path / "data" / "ckplus", subjects=6, sequences=7)
    where = ("dataset=ckplus", "dataset.protocol=loso", "paths.data=data", f"paths.cache={tmp_path / 'cache'}")
    assert mfer("-m", *where, "dataset.fold=range(0,6)", *SMALL, "name=folds") == 0
    shown = capsys.readouterr().out
    sweep = tmp_path / "runs" / "folds"
    tables, subjects = [], []
    for place in sorted(sweep.glob("*/predictions_test.csv")):
        table = Predictions.from_csv(place)
        tables.append(table)
        subjects.append({path.split("/")[1] for path in table.path.tolist()})
    assert len(tables) == 6
    assert all(len(one) == 1 for one in subjects)
    assert len(set.union(*subjects)) == 6
    joined = sum(int((t.pred == t.label).sum()) for t in tables) / sum(map(len, tables))
    with next(sweep.glob("report/tables/*/folds.csv")).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["accuracy"]) == pytest.approx(joined)
    assert float(row["accuracy_low"]) <= joined <= float(row["accuracy_high"])
    shares = [float((t.pred == t.label).mean()) for t in tables]
    assert float(row["mean_of_folds"]) == pytest.approx(np.mean(shares))
    assert f"{100 * joined:.2f}" in shown
    end = shown.rpartition("Run: ")[2]  # after the last job
    assert "all 6 folds by subject, joined" in " ".join(end.split())
    assert end.count("ckplus@loso") == 1  # one table
    assert "all 6 folds by subject, joined" in (sweep / "report" / "report.md").read_text()


@pytest.mark.slow
def test_faces_in_full_frames_are_detected(mfer: Mfer, tmp_path: Path) -> None:
    photo = pytest.importorskip("skimage.data").astronaut()[:, :, ::-1]
    root = tmp_path / "data" / "caer-s"
    frames = {"train": 10, "test": 1}  # enough for a validation set held out from train
    for part, many in frames.items():
        for name in ("Anger", "Happy"):
            for k in range(many):
                path = root / part / name / f"{k + 1:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                moved = photo[4 * k : 400 + 4 * k, 4 * k :]  # the face is at a different position in every image
                assert cv2.imwrite(str(path), np.ascontiguousarray(moved))
    options = ("dataset=caers", "paths.data=data", "images=none", "--json")
    assert mfer("data", *options) == 2  # do what the message advises
    assert mfer("align", "source=data/caer-s", "output=data/caer-s/aligned") == 0
    assert mfer("data", *options) in (0, 1)
    index = read_caers(root)
    assert sorted(index.path.tolist()) == [
        f"aligned/{part}/{name}/{k + 1:04d}_aligned.jpg"
        for part, many in sorted(frames.items())
        for name in ("Anger", "Happy")
        for k in range(many)
    ]
