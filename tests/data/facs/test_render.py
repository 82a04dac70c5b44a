"""People, conditions and painting: the image shows what was requested."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mfer_lightning.data.facs.action_units import ACTION_UNITS, AU_INDEX
from mfer_lightning.data.facs.canvas import Canvas
from mfer_lightning.data.facs.conditions import OCCLUDERS, Conditions, sample_conditions
from mfer_lightning.data.facs.geometry import Figure, Pose, control_points
from mfer_lightning.data.facs.identity import BEARDS, GLASSES, SKIN, STYLES, Identity, sample_identity
from mfer_lightning.data.facs.occlusion import draw_occluder
from mfer_lightning.data.facs.random_stream import Stream
from mfer_lightning.data.facs.render import render
from mfer_lightning.data.facs.shading import folds, hollows, roundness
from mfer_lightning.data.facs.traits import TRAIT_INDEX

SIZE = 64
REST = np.zeros((2, len(ACTION_UNITS)))
PEOPLE = [sample_identity(Stream(0, 50, place)) for place in range(400)]


@pytest.fixture
def person() -> Identity:
    return replace(PEOPLE[0], traits=np.zeros(len(TRAIT_INDEX)), style="short", beard="none", glasses="none", lines=0.0)


@pytest.fixture
def studio() -> Conditions:
    """Even light, no blur, no noise, frontal head."""
    drawn = sample_conditions(Stream(0, 51, 0), 0.0, False, SKIN[2])
    return replace(
        drawn, pose=Pose(), gaze=(0.0, 0.0), light=(0.0, 0.0, 1.0), ambient=1.0, exposure=1.0, contrast=1.0,
        cast=(1.0, 1.0, 1.0), grey=False, blur=0.0, noise=0.0, occluder=None,
    )  # fmt: skip


def acting(**units: float) -> np.ndarray:
    intensities = REST.copy()
    for name, value in units.items():
        intensities[:, AU_INDEX[name]] = value
    return intensities


def paint(person: Identity, conditions: Conditions, units: np.ndarray = REST) -> np.ndarray:
    return render(person, units, conditions, SIZE, Stream(0, 52, 0)).astype(int)


def box(points: np.ndarray) -> tuple[slice, slice]:
    (left, top), (right, bottom) = points.min(axis=0).astype(int), points.max(axis=0).astype(int)
    return slice(top, bottom + 1), slice(left, right + 1)


def figure(units: np.ndarray = REST) -> Figure:
    return Figure(control_points(units), Pose(), SIZE, 2)


def test_people_vary_in_every_property():
    assert {p.skin for p in PEOPLE} == {1, 2, 3, 4, 5, 6}
    assert {p.style for p in PEOPLE} == set(STYLES)
    assert {p.beard for p in PEOPLE} == set(BEARDS)
    assert {p.glasses for p in PEOPLE} == set(GLASSES)
    assert min(p.age for p in PEOPLE) < 12
    assert max(p.age for p in PEOPLE) > 70
    shape = np.stack([p.traits for p in PEOPLE])
    assert (shape.std(axis=0) > 0.2).all()


def test_skin_types_run_from_light_to_dark():
    brightness = [np.mean([sum(p.skin_color) for p in PEOPLE if p.skin == skin]) for skin in range(1, 7)]
    assert brightness == sorted(brightness, reverse=True)


def test_children_have_no_beards_or_wrinkles():
    children = [p for p in PEOPLE if p.age < 14]
    assert children
    assert all(p.beard == "none" and p.lines == 0 for p in children)


def test_smile_does_not_change_brows_and_background(person, studio):
    changed = (paint(person, studio) != paint(person, studio, acting(AU12=1.0))).any(axis=2)
    assert changed.any()
    rows, columns = np.nonzero(changed)
    assert rows.min() > 0.4 * SIZE  # cheeks reach up to the eyes, not to the brows
    assert columns.min() > 0.15 * SIZE
    assert columns.max() < 0.85 * SIZE


def test_skin_is_painted_in_the_skin_colour(studio, person):
    means = []
    for skin in (1, 6):
        someone = replace(person, skin=skin, skin_color=SKIN[skin - 1])
        # The curve of a cheek has nothing else drawn on it.
        area = box(figure().curve("cheek.L"))
        means.append(paint(someone, studio)[area].mean(axis=(0, 1)))
        np.testing.assert_allclose(means[-1], SKIN[skin - 1], rtol=0.15)
    assert means[0].sum() > 2 * means[1].sum()


def test_open_mouth_is_dark_and_a_grin_shows_teeth(studio, person):
    dropped, grin = acting(AU27=1.0), acting(AU12=1.0, AU25=1.0)
    figures = [figure(units) for units in (dropped, grin)]
    area = box(np.concatenate((figures[0].curve("lip_iu")[6:-6], figures[0].curve("lip_il")[6:-6])))
    opened, closed = (paint(person, studio, units)[area] for units in (dropped, REST))
    assert np.percentile(opened.sum(axis=2), 25) < np.percentile(closed.sum(axis=2), 25) - 60
    teeth = box(figures[1].curve("lip_iu")[6:-6] + np.array((0.0, 1.0)))
    assert paint(person, studio, grin)[teeth][..., 2].max() > paint(person, studio)[teeth][..., 2].max() + 40


def test_closed_eyes_hide_the_iris(studio, person):
    area = box(figure().curve("lid_up.L"))
    white = [paint(person, studio, units)[area][..., 2].max() for units in (REST, acting(AU43=1.0))]
    assert white[0] > white[1]


def test_side_light_brightens_that_side(studio):
    left = roundness(replace(studio, light=(-0.7, 0.0, 0.71), ambient=0.4), SIZE)
    right = roundness(replace(studio, light=(0.7, 0.0, 0.71), ambient=0.4), SIZE)
    assert left[32, 16] > 1.2 * left[32, 48]
    np.testing.assert_allclose(left, right[:, ::-1], atol=1e-5)
    assert roundness(studio, SIZE).std() == 0.0  # ambient light alone has no direction


def test_folds_deepen_with_expression_and_age(person):
    def depth(units: np.ndarray, someone: Identity) -> float:
        return float((128 - folds(figure(units), units, someone, SIZE).astype(float)).clip(0).sum())

    rest = depth(REST, person)
    for unit in ("AU1", "AU4", "AU6", "AU9", "AU12", "AU14"):
        assert depth(acting(**{unit: 1.0}), person) > rest + 20, unit
    assert depth(REST, replace(person, lines=1.0)) > rest + 100


def test_hollows_leave_the_rest_of_the_image_neutral(studio):
    relief = hollows(figure(), REST, studio, SIZE)
    assert (relief[:4] == 128).all()
    assert relief.min() < 118
    assert relief.max() > 132


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_occluder_covers_exactly_its_mask(studio, kind):
    head = figure()
    canvas = Canvas(head, SIZE)
    canvas.pixels[:] = 0
    conditions = replace(studio, occluder=kind, cover=0.6, place=(0.3, 0.6, 0.6), occluder_color=(200.0, 200.0, 200.0))
    hidden = draw_occluder(canvas, conditions)
    assert hidden is not None
    painted = canvas.pixels[::2, ::2].max(axis=2) > 100
    assert 0.01 < (hidden > 0).mean() < 0.5
    assert ((hidden > 0) == painted).mean() > 0.93


def test_every_occluder_hides_part_of_the_face():
    for place in range(200):
        conditions = sample_conditions(Stream(0, 54, place), 0.5, True, SKIN[3])
        head = Figure(control_points(REST), conditions.pose, SIZE, 2)
        hidden = draw_occluder(Canvas(head, SIZE), conditions)
        face = cv2.fillPoly(np.zeros((SIZE, SIZE), np.uint8), [head.curve("head").astype(np.int32)], 1) > 0
        share = (hidden[face] > 0).mean()
        assert 0.01 < share < 0.75, (conditions.occluder, share)


def test_face_is_fully_visible_without_occluder(studio):
    assert draw_occluder(Canvas(figure(), SIZE), studio) is None


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_conditions_stay_within_the_documented_ranges(difficulty):
    drawn = [sample_conditions(Stream(0, 53, i), difficulty, False, SKIN[1]) for i in range(500)]
    yaw = [abs(c.pose.yaw) for c in drawn]
    assert 0.9 * (6 + 24 * difficulty) < max(yaw) <= 6 + 24 * difficulty
    assert max(abs(c.pose.pitch) for c in drawn) <= 3 + 14 * difficulty
    assert max(abs(c.pose.roll) for c in drawn) <= 2 + 14 * difficulty
    assert max(c.blur for c in drawn) <= 0.3 + 0.8 * difficulty
    assert max(c.noise for c in drawn) <= 1 + 9 * difficulty
    assert all(0 < c.ambient <= 1 for c in drawn)
    np.testing.assert_allclose([np.hypot(np.hypot(*c.light[:2]), c.light[2]) for c in drawn], 1.0)


def test_noise_blur_and_grey_have_the_documented_effect(studio, person):
    clean = paint(person, studio)
    noisy = paint(person, replace(studio, noise=8.0))
    inside = (clean > 40) & (clean < 215)
    assert (noisy - clean)[inside].std() == pytest.approx(8.0, rel=0.1)
    blurred = paint(person, replace(studio, blur=1.0))
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.8 * np.abs(np.diff(clean, axis=1)).mean()
    grey = paint(person, replace(studio, grey=True))
    assert (grey == grey[..., :1]).all()
