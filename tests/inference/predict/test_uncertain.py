"""Predictions below the threshold are marked as uncertain in every output."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inference.conftest import Forms, tiny_network, write_checkpoint
from PIL import Image

from mfer_lightning import load_model, predict
from mfer_lightning.cli import main
from mfer_lightning.demo.examine_photo import doubts
from mfer_lightning.errors import UserError
from mfer_lightning.inference.face import Face
from mfer_lightning.inference.media.face_tracking import Tracker
from mfer_lightning.inference.predict.photo_run import marks
from mfer_lightning.inference.results import Prediction, Predictions

SHARES = {"anger": 0.5, "fear": 0.3, "happiness": 0.2}


@pytest.fixture
def folder(faces: np.ndarray, tmp_path: Path) -> Path:
    where = tmp_path / "faces"
    where.mkdir()
    for number, face in enumerate(faces[:12]):
        Image.fromarray(face).save(where / f"{number:02}.png")
    return where


@pytest.fixture
def middle(forms: Forms, folder: Path) -> float:
    """A threshold that exactly half of the predictions fall below."""
    said = load_model(forms.checkpoint, "cpu").predict(folder, aligned=True)
    return float(np.median([face.probability for face in said.faces]))


def test_only_answers_below_the_threshold_are_uncertain() -> None:
    plain = Face(0, SHARES)
    assert [replace(plain, threshold=t).uncertain for t in (None, 0.0, 0.5, 0.51)] == [False, False, False, True]
    assert replace(plain, threshold=0.6).answer == "uncertain"
    assert replace(plain, threshold=0.6).label == "anger", "the likeliest emotion is still there"


def test_smoothed_probability_decides_in_videos() -> None:
    tracker = Tracker(smooth=10)
    sure, unsure = (Face(0, {"fear": p, "anger": 1 - p}, threshold=0.7) for p in (0.9, 0.6))
    tracker.update([sure], 0.0)
    (face,) = tracker.update([unsure], 0.1)
    assert unsure.uncertain
    assert not face.uncertain


def test_every_representation_shows_uncertainty() -> None:
    face = Face(0, SHARES, box=(1, 2, 30, 40), quality="blurred", threshold=0.6)
    photo = Prediction("a.png", (face,), width=50, height=60)
    assert str(face) == "face 0 at x 1, y 2, 30x40 px (blurred): uncertain, anger 50%, fear 30%, happiness 20%"
    assert "<b>uncertain (blurred)</b>" in photo._repr_html_()
    assert (photo.rows()[0]["uncertain"], photo.rows()[0]["label"]) == (True, "anger")
    assert json.loads(photo.to_json())["faces"][0]["uncertain"] is True
    assert Prediction.from_dict(json.loads(photo.to_json())) == photo
    assert marks(photo)[0][1] == "uncertain, blurred"
    assert doubts(face)[0] == "Uncertain: below 60%, predictions of this model are wrong too often."
    assert "uncertain" not in str(Predictions([Prediction("a.png", (Face(0, SHARES),))]))


@pytest.mark.parametrize("stored", [None, 0.4])
def test_option_overrides_the_threshold_of_the_model(stored: float | None, tmp_path: Path) -> None:
    own = {} if stored is None else {"calibration": {"temperature": 1.0, "uncertain": {"threshold": stored}}}
    checkpoint = write_checkpoint(tmp_path / "m.ckpt", tiny_network(), **own)
    for asked, threshold in ((None, stored), (False, None), (0.7, 0.7), (0, None)):
        assert load_model(checkpoint, "cpu", uncertain=asked).threshold == threshold
    if stored is None:
        with pytest.raises(UserError, match="uncertain=true: the model has no threshold"):
            load_model(checkpoint, "cpu", uncertain=True)
    else:
        assert load_model(checkpoint, "cpu", uncertain=True).threshold == stored


@pytest.mark.parametrize("asked", ["often", 1.5, -0.1, float("nan")])
def test_invalid_threshold_is_rejected(asked: object, forms: Forms) -> None:
    with pytest.raises(UserError, match=r"uncertain=.*: the value must be true, false, null or a probability"):
        load_model(forms.checkpoint, "cpu", uncertain=asked)  # type: ignore[arg-type]


def test_command_line_files_and_summary(
    forms: Forms, folder: Path, middle: float, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ("predict", str(folder), f"checkpoint={forms.checkpoint}", "aligned=true", "annotate=true", "device=cpu")
    with pytest.raises(SystemExit) as stop:
        main([*words, f"uncertain={middle}", f"output={tmp_path / 'out'}"])
    assert not stop.value.code
    assert "uncertain 6 (50%)" in capsys.readouterr().out
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["uncertain"] for row in rows].count("True") == 6
    assert all((float(row["probability"]) < middle) == (row["uncertain"] == "True") for row in rows)
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert sum(line["faces"][0]["uncertain"] for line in lines) == 6
    assert len(list((tmp_path / "out" / "annotated").iterdir())) == 12
    with pytest.raises(SystemExit) as stop:
        main([*words, f"output={tmp_path / 'out'}"])
    assert stop.value.code == 2
    assert "was started with other settings (uncertain was " in capsys.readouterr().err


def test_without_a_threshold_nothing_changes(forms: Forms, folder: Path, tmp_path: Path) -> None:
    said = predict(folder, forms.checkpoint, tmp_path / "out", aligned=True, device="cpu")
    assert not any(face.uncertain for face in said.faces)
    assert "uncertain" not in (tmp_path / "out" / "predictions.csv").read_text()
    assert "uncertain" not in (tmp_path / "out" / "predictions.jsonl").read_text()
