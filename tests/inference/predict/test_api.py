"""load_model(...).predict(...): all types of photos give the same faces, and results are easy to use."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inference.predict.conftest import ALIGNMENT, save_run, write
from PIL import Image

import mfer_lightning
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.errors import UserError
from mfer_lightning.inference.media.detect_faces import Look, find_in_files
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.inference.results import Prediction, Predictions


@pytest.fixture(scope="module")
def expected(model: Predictor, portrait: np.ndarray) -> Predictions:
    return model.predict(portrait)


def shares(predictions: Predictions) -> np.ndarray:
    return np.array([[face.probabilities[name] for name in EMOTIONS] for face in predictions.faces])


def test_portrait_has_one_face_at_the_expected_position(expected: Predictions) -> None:
    assert len(expected) == 1
    (face,) = expected.faces
    x, y, width, height = face.box
    assert (x, y, width, height) == pytest.approx((79, 60, 89, 113), abs=8)
    assert np.array(face.landmarks)[0] == pytest.approx((103, 101), abs=4)  # the eye on the left in the picture
    assert face.confidence > 0.99
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert face.label == max(face.probabilities, key=face.probabilities.get)
    assert face.top(2)[0] == (face.label, face.probability)


def test_every_source_type_gives_the_same_result(
    model: Predictor, portrait: np.ndarray, expected: Predictions, tmp_path: Path
) -> None:
    file = write(tmp_path / "photos" / "portrait.png", portrait)
    encoded = BytesIO()
    Image.fromarray(portrait).save(encoded, "PNG")
    sources: list[Any] = [
        str(file),
        file,
        file.parent,
        str(tmp_path / "photos" / "*.png"),
        encoded.getvalue(),
        Image.open(file),
        portrait[None],
        torch.from_numpy(portrait).permute(2, 0, 1),
        np.dstack([portrait, np.full(portrait.shape[:2], 255, np.uint8)]),
        (picture for picture in [portrait]),
        [[str(file)]],
    ]
    for source in sources:
        np.testing.assert_array_equal(shares(model.predict(source)), shares(expected))
    bgr = model.predict(np.ascontiguousarray(portrait[:, :, ::-1]), colour="BGR")
    np.testing.assert_array_equal(shares(bgr), shares(expected))
    many = model.predict([file, portrait, Image.open(file)])
    assert [item.path for item in many] == [str(file), None, str(file)]


def test_batches_of_1_and_64_agree(run: Path, portrait: np.ndarray) -> None:
    faces = [portrait[i : i + 112, i : i + 112] for i in range(0, 140, 2)]
    alone = mfer_lightning.load_model(run, "cpu", batch_size=1).predict(faces, aligned=True)
    together = mfer_lightning.load_model(run, "cpu", batch_size=64).predict(faces, aligned=True)
    assert len(alone) == 70
    assert np.ptp(shares(alone), axis=0).max() > 0.01, "the faces differ"
    np.testing.assert_allclose(shares(together), shares(alone), atol=1e-5)


def test_aligned_faces_are_used_unchanged(model: Predictor, portrait: np.ndarray, expected: Predictions) -> None:
    seen = model.predict(portrait, keep_aligned=True).faces[0]
    assert seen.aligned.shape == (48, 48, 3)
    again = model.predict(seen.aligned, aligned=True)
    np.testing.assert_allclose(shares(again), shares(expected), atol=1e-6)
    assert again.faces[0].box is None
    assert expected.faces[0].aligned is None, "pixels only where they are asked for"


def test_faces_of_different_sizes_keep_their_order(tmp_path: Path, portrait: np.ndarray) -> None:
    free = save_run(tmp_path / "run", alignment={**ALIGNMENT, "size": None})
    model = mfer_lightning.load_model(free, "cpu", batch_size=2)
    faces = [portrait[: 60 + 10 * (i % 3), :80] for i in range(7)]
    one_by_one = np.concatenate([shares(model.predict(face, aligned=True)) for face in faces])
    np.testing.assert_allclose(shares(model.predict(faces, aligned=True)), one_by_one, atol=1e-6)


def test_faces_are_ordered_from_left_to_right_and_can_be_selected(model: Predictor, portrait: np.ndarray) -> None:
    small = np.full_like(portrait, 255)
    small[64:192, 64:192] = portrait[::2, ::2]
    photo = np.hstack([small, portrait])
    found = model.predict(photo)[0]
    assert [face.number for face in found] == [0, 1]
    assert found.faces[0].box[0] < 256 < found.faces[1].box[0]
    (largest,) = model.predict(photo, faces="largest").faces
    assert largest.box == found.faces[1].box
    with pytest.raises(ValueError, match="`faces` to be one of"):
        model.predict(photo, faces="every")


def test_face_finder_is_built_once_per_setting(model: Predictor) -> None:
    plain = model.finder()
    look = Look(faces="largest", detector={"min_score": 0.9, "min_face": 40}, second_look=False)
    assert plain is model.finder(Look()) is model.finder(detector=None, rotate=False) is model.finder(detector={})
    assert model.finder(look) is model.finder(
        faces="largest", detector={"min_face": 40, "min_score": 0.9}, second_look=False
    )
    for option in ({"second_look": True}, {"rotate": True}, {"aligned": True}, {"faces": "all"}, {"detector": None}):
        changed = model.finder(look, **option)
        assert changed is not model.finder(look)
        assert changed.look == replace(look, **option)


def test_worker_processes_use_the_same_settings(model: Predictor, portrait: np.ndarray, tmp_path: Path) -> None:
    photo = write(tmp_path / "portrait.png", portrait)
    for look in (Look(aligned=True), Look(detector={"min_face": 250}, rotate=True, second_look=False)):
        here, there = (
            list(find_in_files([photo, photo], model.finder(look), most_pixels=10**6, workers=n, keep_image=False))
            for n in (0, 2)
        )
        for one, other in zip(here, there, strict=True):
            assert (one.faces, one.picture.message) == (other.faces, other.picture.message)
            assert [crop.shape for crop in one.crops] == [crop.shape for crop in other.crops]
        assert (here[0].faces is None) == look.aligned


@pytest.mark.parametrize(("option", "value"), [("detector", "mtcnn"), ("faces", "every")])
def test_invalid_detection_settings_raise_value_error(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"`{option}` to be .*{value}"):
        Look(**{option: value})  # type: ignore[arg-type]


def test_batches_of_large_faces_are_limited_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large photos passed as aligned faces: batches are limited by bytes, not by number."""
    alignment = {**ALIGNMENT, "size": None}
    model = mfer_lightning.load_model(save_run(tmp_path / "run", alignment=alignment), "cpu")
    sizes: list[int] = []
    classify = model.classifier.classify
    monkeypatch.setattr(model.classifier, "classify", lambda faces: sizes.append(len(faces)) or classify(faces))
    monkeypatch.setattr("mfer_lightning.inference.predictor._BATCH_BYTES", 2 * 300 * 300 * 3)
    monkeypatch.setattr("mfer_lightning.inference.predictor.MOST_BYTES", 5 * 300 * 300 * 3)
    found = model.predict([np.full((300, 300, 3), i, np.uint8) for i in range(9)], aligned=True)
    assert len(found) == 9
    assert sizes == [2, 2, 2, 2, 1]
    assert len({face.probability for face in found.faces}) > 1


def test_vectors_match_the_faces(model: Predictor, portrait: np.ndarray, expected: Predictions) -> None:
    blank = np.full((64, 64, 3), 255, np.uint8)
    found = model.embed([portrait, blank, portrait])
    assert found.vectors.shape == (2, 32)
    assert [item.status for item in found.predictions] == ["ok", "no face", "ok"]
    np.testing.assert_allclose(found.vectors[0], found.vectors[1], atol=1e-6)
    assert found.faces[0].label == expected.faces[0].label
    assert model.embed(blank).vectors.shape[0] == 0


def test_unreadable_photo_is_a_result_among_others(model: Predictor, portrait: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    found = model.predict([tmp_path / "text.jpg", tmp_path / "absent.jpg", portrait])
    assert [item.status for item in found] == ["not an image", "unreadable", "ok"]
    assert "no such file" in found[1].message
    assert not found[0]
    with pytest.raises(UserError, match="no such file or folder"):
        model.predict(tmp_path / "absent.jpg")


def test_results_round_trip_through_plain_values(expected: Predictions) -> None:
    (item,) = expected
    plain = json.loads(item.to_json())
    assert Prediction.from_dict(plain) == item
    (row,) = expected.rows()
    assert row["label"] == item.faces[0].label
    assert {f"p_{name}" for name in EMOTIONS} < set(row)
    assert all(isinstance(v, (str, int, float, type(None))) for v in row.values())
    assert expected.to_json_lines().count("\n") == 1
    assert isinstance(expected[:1], Predictions)


def test_results_have_a_readable_repr(expected: Predictions, model: Predictor) -> None:
    text = str(expected)
    assert f"{expected.faces[0].label} {expected.faces[0].probability:.0%}" in text
    assert "256x256" in text
    assert repr(expected) == "Predictions(1 photo, 1 face)"
    assert "face-evolve-112@1" in repr(model)
    assert "not an image (no)" in str(Prediction("a", status="not an image", message="no"))


def test_notebook_table_has_no_images_and_escapes_names(expected: Predictions) -> None:
    html = expected._repr_html_()
    assert expected.faces[0].label in html
    assert "<img" not in html
    assert "base64" not in html
    hostile = Predictions([Prediction("<script>alert(1)</script>.jpg", status="unreadable", message="<b>")])
    assert "<script" not in hostile._repr_html_()
    assert "<b>" not in hostile._repr_html_()
    long = Predictions([Prediction(str(i), status="no face") for i in range(80)])
    assert "30 more rows" in long._repr_html_()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((10, 10, 3)), "Multiply numbers in 0..1 by 255"),
        (np.zeros((10, 10, 3), np.int64), "to be uint8"),
        (np.zeros((10, 10, 2), np.uint8), "to be uint8"),
        (np.zeros((0, 10, 3), np.uint8), "to be uint8"),
        (torch.zeros(10, 10, 3, dtype=torch.uint8), r"\(3,H,W\)"),
        (5, "to be a path"),
        (None, "to be a path"),
    ],
)
def test_invalid_images_raise_value_error(source: Any, words: str, model: Predictor) -> None:
    with pytest.raises(ValueError, match=words):
        model.predict(source)


def test_network_runs_in_float32_without_gradients(model: Predictor, expected: Predictions) -> None:
    network = model.classifier.model.network
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in network.parameters())


def test_non_finite_outputs_raise_one_clear_error(run: Path) -> None:
    broken = mfer_lightning.load_model(run, "cpu")
    for parameter in broken.classifier.model.network.head.parameters():
        parameter.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        broken.predict(np.zeros((8, 8, 3), np.uint8), aligned=True)


def test_pil_image_that_does_not_fit_into_memory_is_reported(
    model: Predictor, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow decodes an opened image only when its pixels are needed."""

    def lack_memory(_: Image.Image) -> None:
        raise MemoryError

    image = Image.fromarray(portrait)
    monkeypatch.setattr(Image.Image, "load", lack_memory)
    (prediction,) = model.predict(image)
    assert (prediction.status, prediction.message) == ("too large", "there is not enough memory to decode it")
