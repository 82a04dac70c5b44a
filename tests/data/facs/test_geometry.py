"""Effects of each action unit on the control points of the face (y points down)."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.data.facs.action_units import ACTION_UNITS, AU_INDEX
from mfer_lightning.data.facs.average_face import CURVES, INDEX, POINTS, SPLINES
from mfer_lightning.data.facs.geometry import Figure, Pose, control_points
from mfer_lightning.data.facs.traits import TRAIT_INDEX

BOTH = ("R", "L")


def face(sides: str = "RL", **units: float) -> np.ndarray:
    """Control points with the given action units, on the given halves."""
    intensities = np.zeros((2, len(ACTION_UNITS)))
    for name, value in units.items():
        for side in sides:
            intensities["RL".index(side), AU_INDEX[name]] = value
    return control_points(intensities)


REST = face()


def y(points: np.ndarray, group: str) -> float:
    return float(points[INDEX[group], 1].mean())


def x(points: np.ndarray, group: str) -> float:
    return float(abs(points[INDEX[group], 0]).mean())


def mouth_gap(points: np.ndarray) -> float:
    return y(points, "lip_il0") - y(points, "lip_iu0")


def eye_gap(points: np.ndarray, side: str) -> float:
    return float((points[INDEX[f"lid_lo.{side}"], 1] - points[INDEX[f"lid_up.{side}"], 1]).max())


def test_neutral_face_equals_the_symmetric_template():
    np.testing.assert_allclose(REST, POINTS, atol=0.03)
    for group in INDEX:
        if group.endswith(".R"):
            mirrored = REST[INDEX[group]] * (-1.0, 1.0, 1.0)
            np.testing.assert_allclose(mirrored, REST[INDEX[group[:-1] + "L"]], atol=1e-12)


@pytest.mark.parametrize("unit", ["AU12", "AU14"])
def test_lip_corners_rise_and_widen(unit):
    moved = face(**{unit: 1.0})
    for side in BOTH:
        assert y(moved, f"corner.{side}") < y(REST, f"corner.{side}") - 0.05
        assert x(moved, f"corner.{side}") > x(REST, f"corner.{side}") + 0.03


def test_au15_lowers_the_lip_corners():
    assert y(face(AU15=1.0), "corner.R") > y(REST, "corner.R") + 0.08


def test_au20_stretches_the_lips_sideways():
    moved = face(AU20=1.0)
    widened, lowered = x(moved, "corner.L") - x(REST, "corner.L"), y(moved, "corner.L") - y(REST, "corner.L")
    assert widened > 0.1 > abs(lowered)


@pytest.mark.parametrize("unit", ["AU23", "AU24"])
def test_tightened_lips_are_narrow_and_thin(unit):
    moved = face(**{unit: 1.0})
    assert x(moved, "corner.L") < x(REST, "corner.L") - 0.03
    assert y(moved, "lip_ol0") - y(moved, "lip_ou0") < y(REST, "lip_ol0") - y(REST, "lip_ou0") - 0.04


@pytest.mark.parametrize(("weaker", "stronger"), [("AU25", "AU26"), ("AU26", "AU27")])
def test_mouth_opening_increases_in_the_order_of_the_units(weaker, stronger):
    assert mouth_gap(REST) < 0.01 < mouth_gap(face(**{weaker: 1.0})) - 0.05
    assert mouth_gap(face(**{stronger: 1.0})) > mouth_gap(face(**{weaker: 1.0})) + 0.05


@pytest.mark.parametrize("unit", ["AU26", "AU27"])
def test_jaw_drop_lowers_the_chin(unit):
    assert y(face(**{unit: 1.0}), "chin") > y(REST, "chin") + 0.1


def test_au17_raises_chin_and_lower_lip():
    moved = face(AU17=1.0)
    assert y(moved, "boss") < y(REST, "boss")
    assert y(moved, "lip_ol0") < y(REST, "lip_ol0") - 0.05


def test_au10_and_au9_raise_the_upper_lip_and_au16_lowers_the_lower_one():
    for unit in ("AU9", "AU10"):
        assert y(face(**{unit: 1.0}), "lip_ou.L") < y(REST, "lip_ou.L") - 0.04
    assert y(face(AU16=1.0), "lip_ol0") > y(REST, "lip_ol0") + 0.05


def test_au9_raises_the_wings_of_the_nose():
    assert y(face(AU9=1.0), "wing.R") < y(REST, "wing.R") - 0.05


def test_au1_raises_the_inner_and_au2_the_outer_brow():
    inner, outer = face(AU1=1.0), face(AU2=1.0)
    for group in ("brow_up.L", "brow_lo.L"):
        first, last = INDEX[group][0], INDEX[group][-1]
        assert REST[first, 1] - inner[first, 1] > 0.15 > 0.05 > abs(REST[last, 1] - inner[last, 1])
        assert REST[last, 1] - outer[last, 1] > 0.12 > 0.05 > abs(REST[first, 1] - outer[first, 1])


def test_au1_with_au2_raises_the_whole_brow():
    moved = face(AU1=1.0, AU2=1.0)
    for side in BOTH:
        rows = INDEX[f"brow_up.{side}"]
        assert (REST[rows, 1] - moved[rows, 1] > 0.1).all()


def test_au4_lowers_the_brows_and_draws_them_together():
    moved, first = face(AU4=1.0), INDEX["brow_lo.R"][0]
    assert moved[first, 1] > REST[first, 1] + 0.08
    assert abs(moved[first, 0]) < abs(REST[first, 0]) - 0.03


def test_eyes_open_with_au5_narrow_with_au7_and_close_with_au43():
    for side in BOTH:
        wide, narrow, shut = (eye_gap(face(**{unit: 1.0}), side) for unit in ("AU5", "AU7", "AU43"))
        assert wide > eye_gap(REST, side) + 0.06
        assert 0.05 < narrow < eye_gap(REST, side) - 0.05
        assert shut == pytest.approx(0.0, abs=0.02)


def test_au6_raises_cheeks_and_lower_lids():
    moved = face(AU6=1.0)
    assert y(moved, "cheek.L") < y(REST, "cheek.L") - 0.05
    assert y(moved, "lid_lo.L") < y(REST, "lid_lo.L") - 0.02


@pytest.mark.parametrize("unit", sorted(ACTION_UNITS))
def test_every_unit_moves_only_its_own_half(unit):
    moved = face("L", **{unit: 1.0}) - REST
    left, right = (np.concatenate([INDEX[g] for g in INDEX if g.endswith(side)]) for side in (".L", ".R"))
    assert abs(moved[left]).max() > 0.03
    assert abs(moved[right]).max() < 0.02


@pytest.mark.parametrize("seed", range(20))
def test_lids_and_lips_never_cross(seed):
    rng = np.random.default_rng(seed)
    points = control_points(rng.random((2, len(ACTION_UNITS))), rng.normal(size=len(TRAIT_INDEX)))
    for side in BOTH:
        assert (points[INDEX[f"lid_up.{side}"][1:4], 1] <= points[INDEX[f"lid_lo.{side}"][1:4], 1] + 1e-9).all()
        assert (points[INDEX[f"lip_ou.{side}"], 1] < points[INDEX[f"lip_iu.{side}"], 1]).all()
        assert (points[INDEX[f"lip_iu.{side}"], 1] <= points[INDEX[f"lip_il.{side}"], 1] + 1e-9).all()
        assert (points[INDEX[f"lip_il.{side}"], 1] < points[INDEX[f"lip_ol.{side}"], 1]).all()


def test_splines_pass_through_control_points_and_reproduce_straight_lines():
    np.testing.assert_allclose(SPLINES.sum(axis=1), 1.0)
    lid = (SPLINES @ POINTS)[CURVES["lid_up.L"]]
    np.testing.assert_allclose(lid[::3], POINTS[INDEX["lid_up.L"]], atol=1e-12)


def test_pose_is_a_rotation():
    rotation = Pose(yaw=20, pitch=-10, roll=5).rotation()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@pytest.mark.parametrize(("turn", "axis", "sign"), [({"yaw": 20.0}, 0, 1), ({"pitch": 15.0}, 1, 1)])
def test_nose_tip_follows_the_head_rotation(turn, axis, sign):
    ahead, turned = (Figure(REST, pose, 64, 2) for pose in (Pose(), Pose(**turn)))
    tip, chin = INDEX["tip"][0], INDEX["chin"][0]
    shift = (turned.points[tip] - turned.points[chin]) - (ahead.points[tip] - ahead.points[chin])
    assert sign * shift[axis] > 2.0


def test_roll_rotates_the_eye_line_clockwise():
    figure = Figure(REST, Pose(roll=10.0), 64, 2)
    dx, dy = figure.group("iris.L")[0] - figure.group("iris.R")[0]
    assert np.degrees(np.arctan2(dy, dx)) == pytest.approx(10.0)


def test_scale_and_position_are_relative_to_image_size():
    small, large = (Figure(REST, Pose(scale=0.3, x=0.4, y=0.55), size, 1) for size in (32, 128))
    np.testing.assert_allclose(large.points, 4 * small.points)
