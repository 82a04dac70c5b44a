"""The printed summary of predictions: each face of a few photos, and counts of many."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfer_lightning.inference.face import Face
from mfer_lightning.inference.results import Prediction
from mfer_lightning.reporting.terminal.predictions import FEW, MOST_LINES, print_summary

NAMES = ("anger", "happiness")


def photo(name: str) -> Prediction:
    face = Face(number=0, probabilities={"anger": 0.25, "happiness": 0.75}, box=(10.0, 20.0, 30.0, 40.0))
    return Prediction(path=name, width=100, height=80, faces=(face,))


def printed(items: list[Prediction], capsys: pytest.CaptureFixture, **options: str) -> str:
    print_summary(items, NAMES, Path("out"), 2.0, len(items), **options)
    return capsys.readouterr().out


def test_one_photo_prints_each_face_with_box_and_probabilities(capsys: pytest.CaptureFixture) -> None:
    assert printed([photo("[a].jpg")], capsys) == (
        "[a].jpg (100x80)\n"
        "  face 0 at x 10, y 20, 30x40 px: happiness 75%, anger 25%\n"
        "1 photo: 1 with faces. 1 processed in 2.0 s, 0.5 a second.\n"
        "Table: out/predictions.csv\n"
        "Lines: out/predictions.jsonl\n"
    )


def test_unreadable_photo_is_printed_once(capsys: pytest.CaptureFixture) -> None:
    bad = Prediction(path="bad.jpg", status="not an image", message="its content is not a readable image")
    said = printed([photo("a.jpg"), bad], capsys)
    assert said.count("bad.jpg: not an image (its content is not a readable image)") == said.count("bad.jpg") == 1
    assert "2 photos: 1 with faces, 1 not an image." in said
    assert "1 face: happiness 1 (100%)." in said


@pytest.mark.parametrize(("photos", "listed"), [(FEW, FEW), (FEW + 1, 0)])
def test_faces_are_printed_for_a_few_photos_only(photos: int, listed: int, capsys: pytest.CaptureFixture) -> None:
    said = printed([photo(f"{i}.jpg") for i in range(photos)], capsys)
    assert said.count("face 0 at") == listed
    assert f"{photos} faces: happiness {photos} (100%)." in said


def test_frames_are_not_printed(capsys: pytest.CaptureFixture) -> None:
    assert "face 0 at" not in printed([photo("0.jpg")], capsys, what="frames")


def test_names_are_printed_without_markup_emoji_or_control_characters(capsys: pytest.CaptureFixture) -> None:
    face = Face(number=0, probabilities={"smile [/laugh]": 0.75, ":fire:": 0.25})
    items = [Prediction(path=f"{i} :fire: \x1b[2J.jpg", width=1, height=1, faces=(face,)) for i in range(2)]
    print_summary(items, ("smile [/laugh]", ":fire:"), Path("out:fire:\x1b"), 2.0, 2)
    said = capsys.readouterr().out
    assert "2 faces: smile [/laugh] 2 (100%)." in said
    assert "0 :fire: \\x1b[2J.jpg" in said
    assert "Table: out:fire:\\x1b/predictions.csv" in said
    assert "\x1b" not in said


def test_photos_of_crowds_are_cut(capsys: pytest.CaptureFixture) -> None:
    faces = tuple(Face(number=i, probabilities={"anger": 1.0}) for i in range(100))
    said = printed([Prediction(path="crowd.jpg", width=1, height=1, faces=faces)], capsys)
    assert said.count("anger 100%") == MOST_LINES - 1
    assert "... and 61 more lines: see predictions.csv." in said


def test_photo_without_a_face_is_explained_once(capsys: pytest.CaptureFixture) -> None:
    said = printed([Prediction(path="a.jpg", status="no face", message="try rotate=true")], capsys)
    assert said.count("try rotate=true") == 1
