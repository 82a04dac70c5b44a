from __future__ import annotations

import pickle
import time

import cv2
import numpy as np
import pytest
from data.trees import picture

from mfer_lightning.config.augment_forms import presets
from mfer_lightning.data.augment import Augment, build_augment
from mfer_lightning.errors import UserError

FACES = np.stack([picture(np.random.default_rng(i), 48) for i in range(24)])
ROWS = np.arange(100, 124)


def run(augment: Augment, seed: int = 0, epoch: int = 0, pick: slice | np.ndarray = slice(None)) -> np.ndarray:
    rows = ROWS[pick]
    return augment(FACES[pick].copy(), seed, np.full(len(rows), epoch), rows)


@pytest.fixture(params=["paper", "standard", "strong"])
def augment(request: pytest.FixtureRequest) -> Augment:
    built = build_augment(request.param)
    assert built is not None
    return built


def test_none_disables_augmentation() -> None:
    assert build_augment("none") is None
    assert build_augment(None) is None
    assert (
        build_augment(
            {"name": "standard", "flip": 0, "shift": 0, "scale": 0, "rotate": 0, "brightness": 0, "contrast": 0}
        )
        is None
    )


def test_augmentation_does_not_depend_on_the_batch(augment: Augment) -> None:
    whole = run(augment)
    order = np.random.default_rng(0).permutation(24)
    np.testing.assert_array_equal(run(augment, pick=order), whole[order])
    for i in (0, 7, 23):
        np.testing.assert_array_equal(run(augment, pick=slice(i, i + 1))[0], whole[i])


def test_epochs_and_seeds_differ_and_are_reproducible(augment: Augment) -> None:
    first = run(augment)
    np.testing.assert_array_equal(run(augment), first)
    assert (run(augment, epoch=1) != first).any()
    assert (run(augment, seed=1) != first).any()


def test_global_seeds_and_pickling_have_no_effect(augment: Augment) -> None:
    import random

    first = run(augment)
    np.random.seed(9)  # noqa: NPY002 - the global seed must have no effect
    random.seed(9)
    np.testing.assert_array_equal(run(pickle.loads(pickle.dumps(augment))), first)


def test_shape_and_dtype_are_kept(augment: Augment) -> None:
    out = run(augment)
    assert out.shape == FACES.shape
    assert out.dtype == np.uint8


def test_paper_preset_is_only_a_fair_flip() -> None:
    augment = build_augment("paper")
    assert augment is not None
    rows = np.arange(600)
    faces = np.broadcast_to(FACES[0], (600, 48, 48, 3)).copy()
    out = augment(faces, 0, np.zeros(600, dtype=np.int64), rows)
    flipped = (out == FACES[0][:, ::-1]).all(axis=(1, 2, 3))
    assert (flipped | (out == FACES[0]).all(axis=(1, 2, 3))).all()
    assert 250 < flipped.sum() < 350


def test_standard_preset_stays_within_its_geometric_limits() -> None:
    """Follow a bright dot through the warp: its position must be within the allowed geometry."""
    augment = build_augment({"shift": 0.06, "scale": 0.1, "rotate": 12})
    face = np.zeros((49, 49, 3), dtype=np.uint8)
    face[14, 24] = 255  # 10 pixels above the centre
    n = 500
    out = augment(np.repeat(face[None], n, axis=0), 0, np.zeros(n, dtype=np.int64), np.arange(n))
    weight = out[:, :, :, 0].astype(float)
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    y = (weight.sum(axis=2) * np.arange(49)).sum(axis=1) - 24
    x = (weight.sum(axis=1) * np.arange(49)).sum(axis=1) - 24
    reach = 0.06 * 49
    assert np.abs(x).max() <= 11 * np.sin(np.deg2rad(12)) + reach + 0.5
    assert y.min() >= -11 - reach - 0.5
    assert y.max() <= -10 / 1.1 * np.cos(np.deg2rad(12)) + reach + 0.5
    assert np.abs(x).max() > 3.5  # it moves
    assert abs(x.mean()) < 0.3  # equally to both sides


def test_rotation_keeps_the_image_centre() -> None:
    face = cv2.GaussianBlur(np.pad(np.full((1, 1, 3), 255, np.uint8), ((24, 24), (24, 24), (0, 0))), (5, 5), 1)
    out = build_augment({"rotate": 90})(
        np.repeat(face[None], 50, axis=0), 0, np.zeros(50, dtype=np.int64), np.arange(50)
    )
    assert (out[:, 24, 24, 0] >= 0.9 * face[24, 24, 0]).all()


def test_light_changes_stay_within_their_limits() -> None:
    grey = np.full((300, 8, 8, 3), 100, dtype=np.uint8)
    out = build_augment({"brightness": 0.1})(grey, 0, np.zeros(300, dtype=np.int64), np.arange(300))
    assert 100 - 26 <= out.min() < 80
    assert 120 < out.max() <= 126
    steady = build_augment({"contrast": 0.2})(grey.copy() * 0 + 127, 0, np.zeros(300, dtype=np.int64), np.arange(300))
    assert np.abs(steady.astype(int) - 127).max() <= 1  # contrast is relative to mid-grey


def test_strong_preset_erases_and_changes_colours() -> None:
    plain, strong = run(build_augment("standard")), run(build_augment("strong"))
    assert (plain != strong).any(axis=(1, 2, 3)).mean() > 0.7


def test_preset_can_be_followed_by_a_list_of_transforms() -> None:
    spec = {"name": "paper", "transforms": [{"name": "InvertImg", "p": 1.0}]}
    np.testing.assert_array_equal(run(build_augment(spec)), 255 - run(build_augment("paper")))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("standart", "did you mean 'standard'"),
        ({"name": "standard", "rotation": 5}, "augment.rotation is not an option .* 'rotate'"),
        ({"name": "standard", "rotate": 500}, "`rotate` within"),
        ({"transforms": [{"name": "HorizontalFlipp"}]}, "did you mean 'HorizontalFlip'"),
        (
            {"transforms": [{"name": "HorizontalFlip", "probability": 1}]},
            r"transforms\[0\] has no option `probability`",
        ),
        ({"transforms": [{"name": "GaussianBlur", "blur_limit": "wide"}]}, r"augment.transforms\[0\].blur_limit=wide"),
        ({"transforms": [{"name": "os"}]}, "`albumentations.os`, but albumentations has no such public class"),
        ({"transforms": 3}, "augment.transforms must be a list"),
        ({"transforms": ["ToGray"]}, "augment.transforms must be a list"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(spec: str | dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_augment(spec)


@pytest.mark.parametrize("name", presets())
def test_every_preset_builds(name: str) -> None:
    build_augment(name)


@pytest.mark.slow
def test_standard_preset_takes_less_than_150_microseconds_per_face() -> None:
    augment = build_augment("standard")
    best = 1.0
    for epoch in range(20):
        start = time.perf_counter()
        run(augment, epoch=epoch)
        best = min(best, (time.perf_counter() - start) / len(FACES))
    assert best < 150e-6
