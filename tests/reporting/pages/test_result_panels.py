"""Data of the result panels: valid intervals, and comparable ranges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from reporting.fabricate import write_run

from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.figures.estimates import Estimate
from mfer_lightning.reporting.pages import result_panels
from mfer_lightning.reporting.pages.panel_groups import SectionPanels
from mfer_lightning.reporting.pages.result_panels import class_panels, method_panels
from mfer_lightning.reporting.study.comparisons import compare
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.reporting.study.sections import make_sections


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[Estimate], dict[str, Any]]]:
    """Record rows and options of every panel of estimates instead of drawing it."""
    found: list[tuple[Sequence[Estimate], dict[str, Any]]] = []
    monkeypatch.setattr(result_panels, "estimates_panel", lambda rows, **how: (found.append((rows, how)), "<svg/>")[1])
    return found


def panels_of(folder: Path) -> SectionPanels:
    (section,) = make_sections(open_runs(find_results([folder]).results)[0])[0]
    compare(section, "accuracy")
    return SectionPanels(section, folder / "report")


def test_differences_need_three_seeds_and_every_mark_has_an_interval(
    tmp_path: Path, drawn: list[tuple[Sequence[Estimate], dict[str, Any]]]
) -> None:
    for loss in ("ce", "dsf"):
        for seed in range(2):
            write_run(tmp_path, loss, seed=seed, n=70, features=False)
    group = method_panels(panels_of(tmp_path), "accuracy")
    assert [how["title"] for _, how in drawn] == ["Accuracy", "Mean class", "Macro F1"]
    assert all(row.low is not None for row in drawn[0][0])
    assert "over faces." in group.caption
    assert "not drawn" in group.caption
    for loss in ("ce", "lgm"):
        for seed in range(loss == "ce" and 2, 3):
            write_run(tmp_path, loss, seed=seed, n=70, features=False)
    group = method_panels(panels_of(tmp_path), "accuracy")
    rows, how = drawn[-1]
    assert how["differences"]
    assert {row.label: (row.value is None, row.low is None, len(row.seeds)) for row in rows} == {
        "dsf": (True, True, 2), "lgm": (False, False, 0)
    }  # fmt: skip
    assert "over seeds and faces or, with fewer than three seeds, over faces" in group.caption


def test_recalls_of_all_classes_share_one_range(
    study: Path, drawn: list[tuple[Sequence[Estimate], dict[str, Any]]]
) -> None:
    class_panels(panels_of(study))
    ((low, high),) = {how["limits"] for _, how in drawn}
    assert all(low < row.low <= row.value <= row.high < high for rows, _ in drawn for row in rows)
