"""Figures of the robustness and explain suites: they are not blank, and invalid arguments are rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mfer_lightning.figures.change_sheet import plot_changes
from mfer_lightning.figures.robustness import plot_lists, plot_robustness
from mfer_lightning.figures.saliency import COLUMNS, Explained, overlay, plot_attention, plot_saliency

FACE = np.full((20, 20, 3), 120, dtype=np.uint8)
HEAT = np.zeros((20, 20), dtype=np.float32)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        assert np.asarray(image.convert("L")).std() > 3
        return image.size


def test_hot_region_is_bright_and_a_cold_one_dark() -> None:
    heat = HEAT.copy()
    heat[5:10, 5:10] = 1
    picture = overlay(FACE, heat).astype(int).sum(axis=2)
    assert picture[7, 7] > 1.5 * picture[0, 0]
    assert len(np.unique(picture)) == 2


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1])
def test_faces_fill_rows(count: int, tmp_path: Path) -> None:
    right = Explained(FACE, "fear", "fear", 0.9, [("fear", HEAT)])
    wrong = Explained(FACE, "fear", "anger", 0.8, [("fear", HEAT), ("anger", HEAT)])
    plot_saliency([right, *[wrong] * (count - 1)], tmp_path / "a.png")
    width, height = size(tmp_path / "a.png")
    assert (width > height) == (count == COLUMNS) or count != COLUMNS
    with pytest.raises(ValueError, match="`examples`"):
        plot_saliency([], tmp_path / "b.png")


def test_attention_is_drawn_with_and_without_channels(tmp_path: Path) -> None:
    weights = np.full((2, 6, 4, 4), 1 / 16, dtype=np.float32)
    for channels in (3, 0):
        shown = np.zeros((2, channels), dtype=np.int64)
        plot_attention([FACE, FACE], [("stage 3", weights, shown)], tmp_path / f"{channels}.png")
    assert size(tmp_path / "3.png")[0] > size(tmp_path / "0.png")[0]
    with pytest.raises(ValueError, match="`faces` and `stages`"):
        plot_attention([FACE], [], tmp_path / "b.png")


def card(points: int) -> dict[str, Any]:
    point = {"n": 50, "accuracy": 0.8, "low": 0.7, "high": 0.9, "amount": 0.1}
    curve = {"group": "noise", "unit": "of 1", "points": [point] * points}
    return {"n": 50, "clean": point, "curves": {"gaussian_noise": curve, "odd": {**curve, "group": "?"}}, "lists": {}}


def test_empty_curves_and_sheets_raise_value_error(tmp_path: Path) -> None:
    plot_robustness(card(5), tmp_path / "a.png")
    size(tmp_path / "a.png")
    plot_changes(FACE, {"one": [FACE] * 3, "two": [FACE // 2] * 5, "three": [FACE]}, tmp_path / "c.png")
    size(tmp_path / "c.png")
    with pytest.raises(ValueError, match="at least one curve"):
        plot_robustness({**card(5), "curves": {}}, tmp_path / "b.png")
    with pytest.raises(ValueError, match="at least one list"):
        plot_lists(card(5), tmp_path / "b.png")
    with pytest.raises(ValueError, match="at least one change"):
        plot_changes(FACE, {}, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_list_of_all_faces_has_no_remainder_to_draw(tmp_path: Path) -> None:
    point = card(1)["clean"]
    plot_lists({"lists": {"every": {"subset": point, "rest": None}}}, tmp_path / "a.png")
    size(tmp_path / "a.png")
