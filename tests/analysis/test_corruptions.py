"""Changes of the robustness suite: neutral amounts, increasing severities, reproducibility."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mfer_lightning.analysis.corruptions import CHANGES, Change, mirror
from mfer_lightning.analysis.severities import CORRUPTIONS, MISALIGNMENTS, SEVERITIES, TABLES
from mfer_lightning.data.facs import FacsGenerator

#: Amounts without an effect.
NEUTRAL = {
    "gaussian_noise": 0.0,
    "impulse_noise": 0.0,
    "defocus_blur": 0.0,
    "motion_blur": 0.0,
    "zoom_blur": 1.0,
    "brightness": 0.0,
    "darkness": 0.0,
    "contrast": 1.0,
    "pixelate": 1.0,
    "resolution": 48,
    "shift": 0.0,
    "rotation": 0.0,
    "larger": 1.0,
    "smaller": 1.0,
}
#: Changes without such an amount: even the best JPEG quality and very many photons have some effect.
NEARLY = {"jpeg": (100, 3.0), "shot_noise": (1e7, 0.6)}


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    generator = FacsGenerator(size=48, difficulty=0.3)
    return np.stack([generator.image("test", i) for i in range(4)])


def apply(change: Change, faces: np.ndarray, rows: list[int] | None = None) -> np.ndarray:
    rows_array = np.arange(len(faces)) if rows is None else np.array(rows)
    return change(faces, 99, np.full(len(faces), 7), rows_array)


def test_every_change_has_a_neutral_amount_that_keeps_every_pixel(faces: np.ndarray) -> None:
    assert set(NEUTRAL) | set(NEARLY) == set(CHANGES) == {*TABLES, "resolution"}
    for kind, amount in NEUTRAL.items():
        np.testing.assert_array_equal(apply(Change(kind, amount), faces), faces, err_msg=kind)
    for kind, (amount, most) in NEARLY.items():
        away = np.abs(apply(Change(kind, amount), faces).astype(float) - faces).mean()
        assert away < most, kind


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_changes_do_not_depend_on_the_batch(kind: str, faces: np.ndarray) -> None:
    before = faces.copy()
    change = Change(kind, TABLES[kind].amount(3, 48), seed=1)
    together = apply(change, faces, [5, 6, 7, 8])
    np.testing.assert_array_equal(faces, before)
    assert (together.dtype, together.shape) == (np.uint8, faces.shape)
    alone = np.concatenate([apply(change, faces[i : i + 1], [5 + i]) for i in (3, 1)])
    np.testing.assert_array_equal(alone, together[[3, 1]])
    copy = pickle.loads(pickle.dumps(change))  # loader processes may be spawned
    np.testing.assert_array_equal(apply(copy, faces, [5, 6, 7, 8]), together)


@pytest.mark.parametrize("kind", ["gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "shift", "rotation"])
def test_random_changes_differ_between_faces_and_seeds(kind: str, faces: np.ndarray) -> None:
    same = np.repeat(faces[:1], 8, axis=0)
    one = apply(Change(kind, TABLES[kind].amount(5, 48)), same)
    assert len({face.tobytes() for face in one}) > 1
    assert (one != apply(Change(kind, TABLES[kind].amount(5, 48), seed=1), same)).any()


def test_noise_grows_with_severity(faces: np.ndarray) -> None:
    grey = np.full_like(faces, 128)
    weak = apply(Change("gaussian_noise", 0.05), grey).astype(float) - 128
    strong = apply(Change("gaussian_noise", 0.10), grey).astype(float) - 128
    assert np.corrcoef(weak.ravel(), strong.ravel())[0, 1] > 0.99
    assert strong.std() == pytest.approx(2 * weak.std(), rel=0.02)


@pytest.mark.parametrize("side", [32, 48, 100, 224, 448])
@pytest.mark.parametrize("kind", sorted(TABLES))
def test_severities_increase(kind: str, side: int) -> None:
    amounts = [TABLES[kind].amount(s, side) for s in SEVERITIES]
    assert amounts == sorted(amounts, reverse=amounts[0] > amounts[-1])
    assert len(set(amounts)) == 5


def test_tables_are_interpolated_between_sizes_and_lengths_scale_with_the_side() -> None:
    noise, blur = TABLES["gaussian_noise"], TABLES["defocus_blur"]
    assert [noise.amount(s, 32) for s in SEVERITIES] == [0.04, 0.06, 0.08, 0.09, 0.10]
    assert [noise.amount(s, 224) for s in SEVERITIES] == [0.08, 0.12, 0.18, 0.26, 0.38]
    assert 0.04 < noise.amount(1, 85) < 0.08
    assert noise.amount(5, 448) == 0.38
    assert blur.amount(5, 448) == 20
    assert blur.amount(5, 16) == 0.75


@pytest.mark.parametrize("kind", sorted(set(TABLES) - {"pixelate"}))
def test_higher_severity_changes_a_face_more(kind: str, faces: np.ndarray) -> None:
    away = [
        np.abs(apply(Change(kind, TABLES[kind].amount(s, 48)), faces).astype(float) - faces).mean() for s in SEVERITIES
    ]
    assert away == sorted(away)
    assert away[0] > 0


def test_noise_has_the_stated_distribution() -> None:
    grey = np.full((4, 64, 64, 3), 100, dtype=np.uint8)
    normal = apply(Change("gaussian_noise", 0.1), grey).astype(float)
    assert normal.mean() == pytest.approx(100, abs=1)
    assert normal.std() == pytest.approx(25.5, rel=0.03)
    shot = apply(Change("shot_noise", 50), grey).astype(float)
    assert shot.mean() == pytest.approx(100, abs=1)
    assert shot.std() == pytest.approx(255 * np.sqrt(100 / 255 / 50), rel=0.03)
    impulse = apply(Change("impulse_noise", 0.2), grey)
    assert (impulse == 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (impulse == 255).mean() == pytest.approx(0.1, abs=0.01)


def test_light_changes_have_the_stated_effect() -> None:
    face = np.array([[[[200, 100, 50], [0, 0, 0]]]], dtype=np.uint8)
    brighter = apply(Change("brightness", 0.2), face)[0, 0]
    assert brighter.tolist() == [[251, 126, 63], [51, 51, 51]]  # the hue stays, black becomes grey
    assert apply(Change("darkness", 100 / 255), face)[0, 0].tolist() == [[100, 50, 25], [0, 0, 0]]
    assert apply(Change("contrast", 0.5), face)[0, 0].tolist() == [[150, 75, 38], [50, 25, 12]]


@pytest.mark.parametrize("kind", ["defocus_blur", "motion_blur", "zoom_blur", "pixelate", "resolution", "jpeg"])
def test_blurs_keep_a_uniform_image_uniform(kind: str) -> None:
    even = np.full((1, 48, 40, 3), 77, dtype=np.uint8)
    amount = 16 if kind == "resolution" else TABLES[kind].amount(5, 48)
    assert np.abs(apply(Change(kind, amount), even).astype(int) - 77).max() <= 1


def test_low_resolution_keeps_no_finer_detail() -> None:
    lines = np.zeros((1, 48, 48, 3), dtype=np.uint8)
    lines[:, :, ::2] = 255
    assert np.ptp(apply(Change("resolution", 24), lines)) == 0  # each pixel averages a black and a white one


@pytest.mark.parametrize(
    "kind", ["pixelate", "resolution", "defocus_blur", "motion_blur", "zoom_blur", "larger", "smaller"]
)
def test_photometric_changes_do_not_shift_a_face(kind: str) -> None:
    """The centre of a blob stays in place; otherwise a blur would also be a misalignment."""
    blot = np.zeros((1, 48, 48, 3), dtype=np.uint8)
    blot[:, 14:34, 14:34] = 200
    ys, xs = np.mgrid[:48, :48]
    for severity in SEVERITIES:
        amount = (
            {1: 40, 2: 32, 3: 25, 4: 17, 5: 12}[severity] if kind == "resolution" else TABLES[kind].amount(severity, 48)
        )
        out = apply(Change(kind, amount), blot)[0, :, :, 0].astype(float)
        middle = (out * xs).sum() / out.sum(), (out * ys).sum() / out.sum()
        assert middle == pytest.approx((23.5, 23.5), abs=0.15), amount


def test_shifted_crop_is_filled_like_alignment() -> None:
    white = np.full((6, 40, 40, 3), 255, dtype=np.uint8)
    for kind, amount in (("shift", 0.2), ("rotation", 30), ("smaller", 0.5)):
        assert (apply(Change(kind, amount), white) == 0).any(axis=(1, 2, 3)).all(), kind
        for border in ("edge", "mirror"):
            assert (apply(Change(kind, amount, border=border), white) == 255).all(), (kind, border)


def test_shift_and_rotation_have_the_stated_size() -> None:
    dot = np.zeros((16, 81, 81, 3), dtype=np.uint8)
    dot[:, 39:42, 39:42] = 255
    moved = apply(Change("shift", 0.1), dot)[..., 0].astype(float)
    ys, xs = np.mgrid[:81, :81]
    for picture in moved:
        away = np.hypot((picture * xs).sum() / picture.sum() - 40, (picture * ys).sum() / picture.sum() - 40)
        assert away == pytest.approx(8.1, abs=0.1)
    dot = np.roll(dot, 20, axis=2)
    turned = apply(Change("rotation", 20), dot)[..., 0].astype(float)
    angles = [np.rad2deg(np.arctan2((p * ys).sum() / p.sum() - 40, (p * xs).sum() / p.sum() - 40)) for p in turned]
    assert {round(a) for a in angles} == {-20, 20}


def test_flip_is_its_own_inverse(faces: np.ndarray) -> None:
    zero = np.zeros(4, dtype=np.int64)
    once = mirror(faces, 0, zero, zero)
    np.testing.assert_array_equal(once[:, :, 0], faces[:, :, -1])
    np.testing.assert_array_equal(mirror(once, 0, zero, zero), faces)


def test_suite_has_corruptions_of_every_family_and_misalignments() -> None:
    assert {TABLES[kind].group for kind in CORRUPTIONS} == {"noise", "blur", "light", "digital"}
    assert MISALIGNMENTS == ("shift", "rotation", "larger", "smaller")


@pytest.mark.parametrize(("arguments", "words"), [(("fog", 1.0), "`kind`"), (("shift", 0.1, 0, "pink"), "`border`")])
def test_invalid_arguments_raise_value_error(arguments: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Change(*arguments)
