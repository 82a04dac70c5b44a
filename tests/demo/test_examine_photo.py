"""The content of the page for a photo, and its HTML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from demo.conftest import picture

from mfer_lightning.demo.examine_photo import MOST_FACES, Examination, FaceView, doubts, examine, overlay
from mfer_lightning.demo.result_html import CAVEAT, card_page
from mfer_lightning.demo.server import explainer
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.inference.results import Face, Prediction

SURE = {"fear": 0.9, "surprise": 0.1}


def test_aligned_face_is_shown_with_the_model_prediction(model: Predictor, face: Path) -> None:
    found = examine(model, face, aligned=True)
    (view,) = found.faces
    assert view.face.probabilities == model.predict(face, aligned=True).faces[0].probabilities
    assert view.face.aligned.shape == (40, 48, 3)
    assert view.overlay is None
    assert found.photo.shape == (40, 48, 3)


def test_overlay_explains_the_predicted_emotion(model: Predictor, face: Path) -> None:
    pytest.importorskip("pytorch_grad_cam")
    asked = []
    real = explainer(model)

    def explain(crops, classes):
        asked.append((crops.shape, list(classes)))
        return real(crops, classes)

    found = examine(model, face, aligned=True, explain=explain)
    (view,) = found.faces
    assert asked == [((1, 40, 48, 3), [model.class_names.index(view.face.label)])]
    assert view.overlay.shape == view.face.aligned.shape
    assert view.overlay.dtype == np.uint8


def test_excess_faces_are_counted(model: Predictor, face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = Prediction("x", tuple(Face(i, SURE) for i in range(MOST_FACES + 3)))
    monkeypatch.setattr(model, "stream", lambda *a, **k: iter([(None, many, None)]))
    found = examine(model, face)
    assert len(found.faces) == MOST_FACES
    assert f"{MOST_FACES + 3} faces were found" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "empty"), (b"hello", "not a readable image"), (b"\x89PNG\r\n\x1a\n\0\0", "image")]
)
def test_non_image_file_is_reported(model: Predictor, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    found = examine(model, path)
    assert (found.photo, found.faces) == (None, ())
    page = card_page(found)
    assert "This file cannot be shown" in page
    assert said in page


def test_photo_with_too_many_pixels_is_not_decoded(model: Predictor, face: Path) -> None:
    assert "48 x 40 pixels are more than" in card_page(examine(model, face, max_pixels=1000))


def test_map_colours_only_highlighted_regions() -> None:
    grey = np.full((4, 4, 3), 90, dtype=np.uint8)
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[0, 0] = 1
    seen = overlay(grey, heat)
    changed = (seen != grey).any(axis=2)
    assert changed[0, 0]
    assert changed.sum() == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"probabilities": {"fear": 0.4, "surprise": 0.35, "anger": 0.25}}, "undecided between fear"),
        ({"probabilities": {"a": 0.45, "b": 0.2, "c": 0.2, "d": 0.15}}, "unsure: no emotion reaches 50%"),
        ({"box": (0.0, 0.0, 20.0, 22.0)}, "small (20x22 pixels)"),
        ({"residual": 0.2}, "turned or tilted"),
        ({"confidence": 0.7}, "not sure that this is a face (70%)"),
    ],
)
def test_each_warning_is_shown_only_with_a_reason(change: dict, said: str) -> None:
    clear = Face(0, SURE, box=(0.0, 0.0, 90.0, 90.0), confidence=0.99, residual=0.03)
    assert doubts(clear) == ()
    (sentence,) = doubts(replace(clear, **change))
    assert said in sentence


def test_page_has_every_number_and_the_caveat_but_no_urls() -> None:
    faces = tuple(
        FaceView(
            Face(i, {"fear": 0.625, "anger": 0.375}, box=(i * 10.0, 1, 9, 9), aligned=np.zeros((8, 8, 3), np.uint8)),
            np.zeros((8, 8, 3), np.uint8),
            ("odd",),
        )
        for i in range(2)
    )
    shown = Prediction("x", tuple(v.face for v in faces), width=30, height=20)
    page = card_page(Examination(np.zeros((20, 30, 3), np.uint8), shown, faces, ("a note",)))
    assert page.count(">62.5%<") == 2
    assert page.count(">37.5%<") == 2
    assert page.count("data:image/jpeg;base64,") == 1 + 2 * 2
    assert "30 x 20 pixels, 2 faces" in page
    assert "a note" in page
    assert CAVEAT in page
    assert "http" not in page
    assert "<script" not in page


def test_names_are_escaped_in_html() -> None:
    bad = "<img src=x onerror=alert(1)>"
    face = Face(0, {bad: 1.0}, aligned=np.zeros((4, 4, 3), np.uint8))
    view = FaceView(face, np.zeros((4, 4, 3), np.uint8), (bad,))
    said = Examination(None, Prediction("x", (), "unreadable", bad), (view,), (bad,))
    assert "<img src=x" not in card_page(said)


def test_different_images_give_different_answers(model: Predictor, tmp_path: Path) -> None:
    """The other tests would also pass with a constant model."""
    one, two = (examine(model, picture(tmp_path / f"{i}.png", i), aligned=True) for i in (1, 2))
    assert one.faces[0].face.probabilities != two.faces[0].face.probabilities
