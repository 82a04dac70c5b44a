"""Views of a face, pixel by pixel, for arrays and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mfer_lightning.views import LARGEST_SHIFT, ONE_VIEW, Views

FACES = np.random.default_rng(0).integers(0, 256, (2, 3, 10, 6), dtype=np.uint8)


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """An equivalent implementation: pad with the edge pixels and crop."""
    most = 8
    padded = np.pad(image, ((0, 0), (0, 0), (most, most), (most, most)), mode="edge")
    height, width = image.shape[-2:]
    return padded[..., most - down : most - down + height, most - right : most - right + width]


def test_default_is_the_unmodified_face_without_a_copy() -> None:
    assert [view is FACES for view in ONE_VIEW.of(FACES)] == [True]
    answer = {"logits": np.arange(3)}
    assert ONE_VIEW.average(lambda _: answer, FACES) == answer


@pytest.mark.parametrize("pixels", [1, 2])
@pytest.mark.parametrize("flip", [False, True])
def test_views_are_the_face_and_shifted_copies_with_their_mirror_images(pixels: int, flip: bool) -> None:
    views = Views(flip, pixels / 10)
    width = max(1, round(6 * pixels / 10))
    wanted = [FACES, *(moved(FACES, y * pixels, x * width) for y in (-1, 1) for x in (-1, 1))]
    if flip:
        wanted = [face for view in wanted for face in (view, view[..., ::-1])]
    found = list(views.of(FACES))
    assert views.count == len(found) == len(wanted)
    for mine, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_tensors_and_arrays_give_equal_views() -> None:
    views = Views(flip=True, shift=0.2)
    for tensor, array in zip(views.of(torch.from_numpy(FACES)), views.of(FACES), strict=True):
        assert tensor.dtype == torch.uint8
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_smallest_shift_is_one_pixel() -> None:
    second = list(Views(shift=0.001).of(FACES))[1]
    np.testing.assert_array_equal(second, moved(FACES, -1, -1))


def test_outputs_are_averaged_by_name_over_views() -> None:
    views = Views(flip=True, shift=0.1)
    weight = np.random.default_rng(1).normal(size=(3, 10, 6))

    def predict(faces: np.ndarray) -> dict[str, Any]:
        return {"logits": (faces * weight).sum((1, 2, 3)), "feature": faces[:, 0, 0].astype(float)}

    found = views.average(predict, FACES)
    each = [predict(view) for view in views.of(FACES)]
    for name in ("logits", "feature"):
        np.testing.assert_allclose(found[name], np.mean([answer[name] for answer in each], axis=0))


def test_averaging_over_flips_is_symmetric() -> None:
    def predict(faces: np.ndarray) -> dict[str, Any]:
        return {"logits": (faces * np.arange(6)).sum((1, 2, 3)).astype(float)}

    views = Views(flip=True, shift=0.15)
    np.testing.assert_allclose(
        views.average(predict, FACES)["logits"], views.average(predict, FACES[..., ::-1])["logits"]
    )


@pytest.mark.parametrize(
    "shift", [-0.01, LARGEST_SHIFT + 0.01, float("nan"), float("inf"), "wide", True, None, [1], 10**400]
)
def test_invalid_shift_lists_the_valid_range(shift: Any) -> None:
    with pytest.raises(ValueError, match=r"`shift` to be a number within \[0, 0.25\]"):
        Views(shift=shift)


def test_invalid_shift_is_shortened_and_escaped() -> None:
    with pytest.raises(ValueError, match="number within") as refused:
        Views(shift="\x1b[2J" + "x" * 10_000)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 250
    assert str(refused.value).isprintable()


def test_equal_shifts_are_equal_views() -> None:
    assert Views(shift=0) == Views(shift=0.0) == ONE_VIEW
    assert repr(Views(shift=0)) == repr(ONE_VIEW)
    assert Views(shift=np.float32(0.02)) == Views(shift=0.02) == Views(shift=0.0200000001)


def test_views_of_a_model_can_be_overridden() -> None:
    said = {"flip": True, "shift": 0.02}
    assert Views.of_metadata(said) == Views(True, 0.02)
    assert Views.of_metadata(said, flip=False) == Views(False, 0.02)
    assert Views.of_metadata(said, shift=0.0) == Views(True, 0.0)
    assert Views.of_metadata({"flip": True}) == Views(True, 0.0)  # of versions without shifts
    assert Views.of_metadata(Views(True, 0.1).to_config()) == Views(True, 0.1)


def test_different_views_have_different_names_and_descriptions() -> None:
    every = [Views(flip, shift) for flip in (False, True) for shift in (0.0, 0.02, 0.04)]
    assert [views.mark for views in every][:3] == ["", "-shift0.02", "-shift0.04"]
    assert len({views.mark for views in every}) == len({views.words for views in every}) == len(every)
    assert Views(True).words == "averaged with the mirrored face"
    assert "by 2% of the side" in Views(True, 0.02).words
