"""Small and blurred faces are marked in results, tables and the summary; others are not."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from inference.predict.conftest import write

from mfer_lightning.analysis.corruptions import CHANGES
from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.inference.media.face_quality import LEAST_DETAIL, detail, judge_face
from mfer_lightning.inference.predictor import Predictor

BOX = (0.0, 0.0, 64.0, 64.0)
SEARCH = {"min_face": 20}


def small(portrait: np.ndarray) -> np.ndarray:
    """The portrait with a face of about 19 pixels."""
    return cv2.resize(portrait, (56, 56), interpolation=cv2.INTER_AREA)


def blurred(portrait: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(portrait, (0, 0), 5)


def test_face_of_19_pixels_is_marked(model: Predictor, portrait: np.ndarray) -> None:
    (prediction,) = model.predict(small(portrait), detector=SEARCH)
    assert prediction.faces[0].box[2] < 24
    assert prediction.faces[0].quality == "small"
    assert "(small)" in str(prediction)


def test_blurred_face_is_marked_and_a_sharp_one_is_not(model: Predictor, portrait: np.ndarray) -> None:
    assert [face.quality for face in model.predict([portrait, blurred(portrait)]).faces] == ["good", "blurred"]


def test_aligned_faces_are_judged_by_their_side_length(model: Predictor, portrait: np.ndarray) -> None:
    face = np.ascontiguousarray(portrait[60:173, 75:172])
    sizes = [cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for side in (48, 31)]
    assert [one.quality for one in model.predict(sizes, aligned=True).faces] == ["good", "small"]


def test_quality_is_shown_in_table_summary_and_copies(
    mfer: Callable[..., int], run: Path, portrait: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name, image in {"a": portrait, "b": blurred(portrait), "c": small(portrait)}.items():
        write(tmp_path / "photos" / f"{name}.png", image)
    command = ("predict", f"checkpoint={run}", "source=photos", "device=cpu", "detector.min_face=20", "annotate=true")
    assert mfer(*command) == 0
    said = capsys.readouterr().out.replace("\n", " ")
    assert "Less reliable: 2 faces (1 blurred, 1 small; column quality)." in said
    with (tmp_path / "predictions" / "photos" / "predictions.csv").open(newline="") as file:
        assert [row["quality"] for row in csv.DictReader(file)] == ["good", "blurred", "small"]


@pytest.mark.parametrize(
    ("kind", "amount", "least", "most"),
    [
        ("resolution", 64, 0, 0.0),
        ("resolution", 32, 0, 0.05),
        ("resolution", 16, 0.95, 1),
        ("defocus_blur", 1.26, 0, 0.05),
        ("defocus_blur", 3.49, 0.95, 1),
        ("jpeg", 28, 0, 0.0),
    ],
)
def test_quality_limit_matches_the_drop_in_accuracy(kind: str, amount: float, least: float, most: float) -> None:
    """Check how many faces of the built-in dataset are marked as blurred after a change from the robustness suite."""
    faces = FacsGenerator(seed=0)
    rng = np.random.default_rng(0)
    changed = [CHANGES[kind](faces.image("test", i), amount, rng, "edge") for i in range(60)]
    share = np.mean([judge_face(face, BOX) == "blurred" for face in changed])
    assert least <= share <= most


def test_uniform_face_has_no_detail() -> None:
    assert detail(np.full((48, 48, 3), 90, np.uint8)) < LEAST_DETAIL
