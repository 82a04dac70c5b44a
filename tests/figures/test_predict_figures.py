"""Boxes on photos, and emotions over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.errors import UserError
from mfer_lightning.figures.annotate import annotate, write_picture
from mfer_lightning.figures.timeline import plot_timeline

SHARES = {"fear": 0.7, "anger": 0.2, "neutral": 0.1}


def test_face_gets_a_box_in_its_emotion_colour_and_the_photo_is_unchanged() -> None:
    photo = np.full((240, 320, 3), 128, np.uint8)
    drawn = annotate(photo, [((100.0, 60.0, 80.0, 100.0), "person 1", SHARES)])
    assert (photo == 128).all()
    assert drawn.shape == photo.shape
    assert drawn[61, 140].tolist() == [0xCC, 0x79, 0xA7]
    changed = (drawn != photo).any(2)
    assert changed[160:, 100:180].mean() > 0.3, "a plate below"
    assert not changed[:50].any()


@pytest.mark.parametrize(
    "box",
    [(0.0, 0.0, 320.0, 240.0), (300.0, 220.0, 60.0, 60.0), (-20.0, -20.0, 40.0, 40.0), (5.0, 200.0, 4.0, 4.0), None],
)
def test_label_plates_stay_within_the_image(box: tuple | None) -> None:
    drawn = annotate(np.full((240, 320, 3), 128, np.uint8), [(box, "", SHARES)])
    assert (drawn > 215).all(2).sum() > 50, "part of the plate must be visible"


def test_tiny_image_and_no_face() -> None:
    assert annotate(np.zeros((3, 3, 3), np.uint8), [(None, "", SHARES)]).shape == (3, 3, 3)
    blank = np.zeros((30, 30, 3), np.uint8)
    np.testing.assert_array_equal(annotate(blank, []), blank)


def test_images_are_written_completely_or_not_at_all(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", np.full((20, 30, 3), 200, np.uint8))
    assert Image.open(tmp_path / "a.jpg").size == (30, 20)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write"):
        write_picture(tmp_path / "file" / "a.jpg", np.zeros((2, 2, 3), np.uint8))


def test_timeline_shows_layers_with_gaps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times = [*np.arange(0, 2, 0.2), *np.arange(6, 8, 0.2)]
    plot_timeline(times, rng.dirichlet(np.ones(8), 20), EMOTIONS, tmp_path / "t.png")
    pixels = np.asarray(Image.open(tmp_path / "t.png").convert("RGB"))
    height, width = pixels.shape[:2]
    middle = pixels[int(0.6 * height), int(0.45 * width)]
    assert middle.min() > 220, "nobody is there from 2 to 6 seconds"
    plot_timeline([1.0], np.array([[0.5, 0.5]]), ("fear", "boredom"), tmp_path / "one.png")
    with pytest.raises(ValueError, match="`shares` of shape"):
        plot_timeline([0.0], np.zeros((2, 2)), ("a", "b"), tmp_path / "no.png")


def test_class_name_is_not_parsed_as_a_formula_in_a_timeline(tmp_path: Path) -> None:
    plot_timeline([0.0, 0.5], np.full((2, 2), 0.5), ["$x", r"$\frac$"], tmp_path / "a.png", "Person 1")
    assert (tmp_path / "a.png").stat().st_size > 1000
