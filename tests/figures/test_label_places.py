"""Labels of faces: complete, inside the image, and not on a face if there is room."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.figures.annotate import annotate
from mfer_lightning.figures.label_places import best_place

SHARES = {"happiness": 0.7, "anger": 0.2, "neutral": 0.1}
GREY = 100


def covered(image: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """Fraction of the lower half of a box, without its outline, that is no longer grey."""
    x, y, width, height = (round(v) for v in box)
    mouth = image[y + height // 2 : y + height - 4, x + 4 : x + width - 4]
    return float((mouth != GREY).any(2).mean())


@pytest.mark.parametrize(
    "box",
    [
        (100.0, 60.0, 120.0, 140.0),
        (100.0, 330.0, 120.0, 148.0),  # at the lower edge
        (0.0, 0.0, 110.0, 130.0),
        (530.0, 0.0, 110.0, 130.0),
        (0.0, 350.0, 110.0, 130.0),
        (530.0, 350.0, 110.0, 130.0),
        (40.0, 4.0, 380.0, 470.0),  # room only at the sides
        (300.0, 200.0, 12.0, 15.0),
    ],
)
def test_label_does_not_cover_its_face_if_there_is_room(box: tuple[float, float, float, float]) -> None:
    drawn = annotate(np.full((480, 640, 3), GREY, np.uint8), [(box, "person 1", SHARES)])
    assert covered(drawn, box) == 0
    assert (drawn > 215).all(2).sum() > 300, "a label"


def test_labels_do_not_cover_neighbouring_faces() -> None:
    boxes = [(20.0 + 150 * i, 60.0 + 170 * j, 110.0, 130.0) for i in range(4) for j in range(2)]
    drawn = annotate(np.full((400, 640, 3), GREY, np.uint8), [(box, "", SHARES) for box in boxes])
    assert [covered(drawn, box) for box in boxes] == [0] * 8


def test_label_of_a_full_frame_face_does_not_cover_the_mouth() -> None:
    for side in (48, 112, 400):
        drawn = annotate(np.full((side, side, 3), GREY, np.uint8), [(None, "", SHARES)])
        assert covered(drawn, (0.0, 0.0, side, side)) == 0
        assert (drawn[: side // 2] > 200).all(2).sum() > side


def test_label_is_inside_the_image_and_off_the_face_if_possible() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        width, height = rng.integers(60, 400, 2).tolist()
        faces = []
        for _ in range(rng.integers(1, 6)):
            w, h = rng.integers(10, 120, 2)
            x, y = rng.integers(0, max(1, width - w)), rng.integers(0, max(1, height - h))
            faces.append((float(x), float(y), float(min(w, width - x)), float(min(h, height - y))))
        labels: list[tuple[float, float, float, float]] = []
        for face in faces:
            found = best_place([(60, 40), (50, 12)], face, (width, height), faces, labels)
            assert found is not None
            x, y, w, h = found[1]
            assert 0 <= x <= width - w
            assert 0 <= y <= height - h
            labels.append(found[1])


def test_many_emotions_and_long_names_are_not_cut_off() -> None:
    shares = dict.fromkeys(EMOTIONS, 1 / len(EMOTIONS))
    for height, width in ((48, 48), (30, 64), (200, 90), (60, 300)):
        blank = np.full((height, width, 3), GREY, np.uint8)
        drawn = annotate(blank, [((5.0, 5.0, 20.0, 20.0), "person 12", shares)])
        assert (drawn > 215).all(2).any(), "a label"
        assert not (drawn > 215).all(2)[:, -1].all(), "the label ends within the image"
