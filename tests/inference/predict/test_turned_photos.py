"""Photos stored sideways: the message names the option, and the option finds the face."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from inference.predict.conftest import write

from mfer_lightning.inference.media.turned_photos import align_turned
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.inference.results import Prediction

Mfer = Callable[..., int]


def test_sideways_photo_without_a_face_suggests_rotate(model: Predictor, portrait: np.ndarray) -> None:
    (prediction,) = model.predict(np.rot90(portrait).copy())
    assert prediction.status == "no face"
    assert "rotate=true" in prediction.message
    (prediction,) = model.predict(np.full((80, 90, 3), 200, np.uint8), rotate=True)
    assert prediction.status == "no face"
    assert "four orientations" in prediction.message


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_photo_gives_the_result_of_the_upright_one(
    degrees: int, model: Predictor, portrait: np.ndarray
) -> None:
    upright = portrait[:240]  # not square
    (expected,) = model.predict(upright)
    (found,) = model.predict(np.rot90(upright, degrees // 90).copy(), rotate=True)
    assert (found.status, found.rotated, found.message) == ("ok", degrees, "")
    assert found.faces[0].probabilities == pytest.approx(expected.faces[0].probabilities)
    x, y, width, height = expected.faces[0].box
    across, down = upright.shape[1] - x - width, upright.shape[0] - y - height
    boxes = {90: (y, across, height, width), 180: (across, down, width, height), 270: (down, x, height, width)}
    assert found.faces[0].box == pytest.approx(boxes[degrees])
    eye = np.array(expected.faces[0].landmarks[0])
    eyes = {90: (eye[1], 255 - eye[0]), 180: (255 - eye[0], 239 - eye[1]), 270: (239 - eye[1], eye[0])}
    assert found.faces[0].landmarks[0] == pytest.approx(eyes[degrees], abs=0.01)
    assert Prediction.from_dict(found.to_dict()).rotated == degrees


def test_alignment_matrix_refers_to_the_original_pixels(model: Predictor, portrait: np.ndarray) -> None:
    aligner = model.finder(rotate=True).aligner
    assert aligner is not None
    (face,), degrees = align_turned(aligner, np.rot90(portrait).copy())
    assert degrees == 90
    points = face.detection.landmarks @ face.matrix[:, :2].T + face.matrix[:, 2]
    assert np.abs(points - aligner.points).max() < 15


def test_folder_reports_rotated_photos_and_rejects_mixed_settings(
    mfer: Mfer, run: Path, portrait: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write(tmp_path / "photos" / "side.png", np.rot90(portrait))
    write(tmp_path / "photos" / "upright.png", portrait)
    command = ("predict", f"checkpoint={run}", "source=photos", "device=cpu")
    assert mfer(*command) == 0
    assert "photos/side.png: no face (rotate=true also tries the other orientations)" in capsys.readouterr().out
    assert mfer(*command, "rotate=true") == 2
    assert "rotate was None, now True" in capsys.readouterr().err
    assert mfer(*command, "rotate=true", "annotate=true", "output=turned") == 0
    with (tmp_path / "turned" / "predictions.csv").open(newline="") as file:
        assert [(row["status"], row["rotated"]) for row in csv.DictReader(file)] == [("ok", "90"), ("ok", "")]
    lines = [json.loads(line) for line in (tmp_path / "turned" / "predictions.jsonl").read_text().splitlines()]
    assert [line.get("rotated") for line in lines] == [90, None]
    assert mfer(*command, "rotate=true", "aligned=true", "output=other") == 2
    assert "Leave out one of them" in capsys.readouterr().err


def test_folder_of_an_earlier_version_is_resumed(
    mfer: Mfer, run: Path, portrait: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write(tmp_path / "photos" / "a.png", portrait)
    command = ("predict", f"checkpoint={run}", "source=photos", "device=cpu")
    assert mfer(*command) == 0
    output = tmp_path / "predictions" / "photos"
    settings = json.loads((output / "predict.json").read_text())
    del settings["rotate"]
    (output / "predict.json").write_text(json.dumps(settings))
    line = json.loads((output / "predictions.jsonl").read_text())
    del line["faces"][0]["quality"]
    (output / "predictions.jsonl").write_text(json.dumps(line) + "\n")
    write(tmp_path / "photos" / "b.png", portrait)
    capsys.readouterr()
    assert mfer(*command) == 0
    assert "Already done: 1 of 2 photos." in capsys.readouterr().out
    with (output / "predictions.csv").open(newline="") as file:
        assert [row["quality"] for row in csv.DictReader(file)] == ["", "good"]
