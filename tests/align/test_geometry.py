"""Similarity transforms against known ones; warps against known pixels."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.align import get_template, similarity, transform_points, warp
from mfer_lightning.align.geometry import invert
from mfer_lightning.errors import UserError


def made(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    a = np.deg2rad(angle)
    return np.array(
        [[scale * np.cos(a), -scale * np.sin(a), shift[0]], [scale * np.sin(a), scale * np.cos(a), shift[1]]]
    )


@pytest.mark.parametrize("angle", [-170, -30, 0, 45, 180])
@pytest.mark.parametrize("scale", [0.1, 1.0, 7.0])
def test_similarity_is_recovered_from_transformed_points(angle: float, scale: float) -> None:
    matrix = made(angle, scale, (12.5, -40.0))
    points = np.random.default_rng(0).normal(size=(5, 2)) * 50
    np.testing.assert_allclose(similarity(points, transform_points(matrix, points)), matrix, atol=1e-9)


def test_similarity_is_the_least_squares_optimum() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5, 2)) * 20, rng.normal(size=(5, 2)) * 30

    def error(matrix: np.ndarray) -> float:
        return float(((transform_points(matrix, a) - b) ** 2).sum())

    best = similarity(a, b)
    turn, scale = np.rad2deg(np.arctan2(best[1, 0], best[0, 0])), float(np.hypot(best[0, 0], best[1, 0]))
    for angle in (-0.5, 0.5, 30):
        assert error(made(turn + angle, scale, tuple(best[:, 2]))) > error(best)
    for factor in (0.98, 1.02):
        assert error(made(turn, scale * factor, tuple(best[:, 2]))) > error(best)
    for shift in ([0.2, 0], [0, -0.2]):
        assert error(best + np.column_stack([np.zeros((2, 2)), shift])) > error(best)


def test_reflection_is_never_used() -> None:
    points = np.array([[0.0, 0], [2, 0], [1, 1], [0, 3], [2, 3]])
    matrix = similarity(points, points * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) >= 0


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.zeros((5, 2)), np.ones((5, 2))),
        (np.ones((1, 2)), np.ones((1, 2))),
        (np.ones((5, 3)), np.ones((5, 3))),
        (np.eye(2), np.eye(2)[:1]),
        (np.array([[np.nan, 0], [1, 1]]), np.eye(2)),
    ],
)
def test_degenerate_points_are_rejected(source: np.ndarray, target: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Expected"):
        similarity(source, target)


def test_inverse_undoes_the_transform() -> None:
    matrix = made(33, 1.7, (5, 6))
    points = np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_allclose(transform_points(invert(matrix), transform_points(matrix, points)), points, atol=1e-12)


def test_identity_warp_changes_nothing_and_a_shift_moves_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(warp(image, identity, 30, 20), image)
    shifted = warp(image, np.array([[1.0, 0, 3], [0, 1, 2]]), 30, 20)
    np.testing.assert_array_equal(shifted[2:, 3:], image[:-2, :-3])
    assert not shifted[:2].any()
    edged = warp(image, np.array([[1.0, 0, 3], [0, 1, 0]]), 30, 20, "edge")
    np.testing.assert_array_equal(edged[:, 0], image[:, 0])
    with pytest.raises(ValueError, match="`border` to be one of"):
        warp(image, identity, 3, 3, "white")


def test_downscaling_averages_and_keeps_positions() -> None:
    image = np.zeros((80, 80, 3), dtype=np.uint8)
    image[::2] = 255  # lines that would alias
    small = warp(image, made(0, 0.25, (-0.375, -0.375)), 20, 20)
    assert abs(float(small[2:-2, 2:-2].mean()) - 127.5) < 3
    assert small[2:-2, 2:-2].std() < 5
    dot = np.zeros((80, 80, 3), dtype=np.uint8)
    dot[40:48, 20:28] = 255
    found = warp(dot, made(0, 0.25, (-0.375, -0.375)), 20, 20)[:, :, 0].astype(float)
    rows, columns = np.indices(found.shape)
    assert abs((rows * found).sum() / found.sum() - 10.5) < 0.05
    assert abs((columns * found).sum() / found.sum() - 5.5) < 0.05


def test_paper_template_has_the_published_points_and_its_square_form_8_pixels_more() -> None:
    narrow, square = get_template("face-evolve-96x112"), get_template("face-evolve-112")
    assert narrow.points[2] == (48.0252, 71.7366)
    np.testing.assert_allclose(np.array(square.points) - np.array(narrow.points), [[8.0, 0.0]] * 5)
    points, width, height = square.scaled(224)
    assert (width, height) == (224, 224)
    np.testing.assert_allclose(points, (np.array(square.points) + 0.5) * 2 - 0.5)


def test_margin_keeps_the_face_centred_and_makes_it_smaller() -> None:
    square = get_template("face-evolve-112")
    plain, _, _ = square.scaled(112)
    wide, _, _ = square.scaled(112, margin=0.5)
    np.testing.assert_allclose(wide - 55.5, (plain - 55.5) / 2, atol=1e-9)


@pytest.mark.parametrize("name", ["evolve", "face-evolve-112@9", ""])
def test_unknown_template_is_named(name: str) -> None:
    with pytest.raises(UserError, match="emplate"):
        get_template(name)
