"""Heat maps: numbers, and intervals if there is room for them."""

from __future__ import annotations

import pytest

from mfer_lightning.figures.heat_map import heat_map_panel


@pytest.mark.parametrize(("columns", "readable"), [(4, True), (5, False)])
def test_panel_omits_intervals_if_there_is_no_room(columns: int, readable: bool) -> None:
    names = [f"d{i}" for i in range(columns)]
    svg = heat_map_panel([[0.5] * columns], [["1 to 2"] * columns], ["a"], names, None)
    assert ("1 to 2" in svg) == readable
    assert svg.count("50.0") == columns
