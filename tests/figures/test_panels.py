"""Panels: part of a page, in its colours, with names of their own, equal for equal data; wrong arguments are named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from mfer_lightning.figures.panels import (
    Dot,
    Effect,
    plot_bands,
    plot_differences,
    plot_dots,
    plot_forest,
    plot_small_confusion,
    plot_small_embedding,
)
from mfer_lightning.figures.panels.curves import STYLES, band

DOTS = [Dot("ce · none", 60.0, 55.0, 65.0, (58.0, 62.0)), Dot("$x_{ <b>", 70.0, verdict="better")]


def test_a_panel_is_an_element_of_a_page(tmp_path: Path) -> None:
    svg = plot_dots(DOTS, tmp_path / "a.png", "Accuracy", "accuracy (%)", 60.0, (80.0, "a single annotator"))
    assert svg.startswith("<svg viewBox=")
    assert svg.rstrip().endswith("</svg>")
    assert not re.search(r"<\?xml|<!DOCTYPE|<style|<metadata|#[0-9a-f]{6}\b", svg)
    assert {"var(--blue)", "var(--ink)", "var(--green)", "var(--sans)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert "&lt;b&gt;" in svg, "letters stay letters, and are only letters"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_two_panels_share_no_names_and_equal_data_give_equal_panels() -> None:
    first, second = (plot_differences(DOTS[:n], None, "Difference", "points") for n in (1, 2))
    names = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert names[0]
    assert not names[0] & names[1]
    for svg, own in zip((first, second), names, strict=True):
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= own
    assert first == plot_differences(DOTS[:1], None, "Difference", "points")


def test_a_verdict_has_a_shape_beside_its_colour() -> None:
    shapes = set()
    for verdict in ("better", "worse", "tie", "undecided"):
        svg = plot_differences([Dot("a", 1.0, verdict=verdict)], None, "", "")
        shapes.add(re.findall(r'<path id="[^"]+" d="([^"]+)"', svg)[-1])
    assert len(shapes) == 4


def test_a_contrast_says_its_verdict_by_shape_and_in_words(tmp_path: Path) -> None:
    shapes = set()
    for verdict in ("better", "worse", "tie", "undecided"):
        effect = Effect("DSF <b> LGM", f"{verdict}, claim told", 1.0, -0.5, 2.5, verdict)
        svg = plot_forest([effect], tmp_path / "a.png", "Contrasts", "points")
        shapes.add(re.findall(r'<path id="[^"]+" d="([^"]+)"', svg)[-1])
        assert f"{verdict}, claim told" in svg
        assert "DSF &lt;b&gt; LGM" in svg
        assert not re.search(r"#[0-9a-f]{6}\b", svg)
    assert len(shapes) == 4
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_contrast_that_was_not_compared_keeps_its_row() -> None:
    both = plot_forest(
        [Effect("a", "better", 1.0, 0.5, 1.5, "better"), Effect("b " * 60, "no predictions")], None, "", ""
    )
    assert "no predictions" in both
    assert "b b b" in both
    assert "b " * 40 not in both, "shortened, not drawn over the edge"


def test_a_band_is_mean_and_deviation_of_the_seeds_that_got_there() -> None:
    found = band("a", [[(0, 1.0), (1, 2.0)], [(0, 3.0)]])
    assert found is not None
    assert (found.mean.tolist(), found.deviation.tolist()) == ([2.0, 2.0], [pytest.approx(2**0.5), 0.0])
    assert band("a", []) is None
    assert "epoch" in plot_bands([found], None, "Accuracy", "%", marks={"a": 0.5})


def test_bands_and_their_marks_count_epochs_from_1(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[float]] = []
    plot = Axes.plot

    def spy(axes: Axes, x: object, *rest: object, **options: object) -> object:
        drawn.append(np.atleast_1d(x).tolist())
        return plot(axes, x, *rest, **options)

    monkeypatch.setattr(Axes, "plot", spy)
    found = band("a", [[(0, 1.0), (1, 2.0)]])
    assert found is not None
    plot_bands([found], None, "Accuracy", "%", marks={"a": 0.5})
    assert drawn == [[1, 2], [1.5]]


@pytest.mark.parametrize(
    ("draw", "argument"),
    [
        (lambda: plot_dots([], None, "", ""), "dots"),
        (lambda: plot_differences([], None, "", ""), "dots"),
        (lambda: plot_forest([], None, "", ""), "effects"),
        (lambda: plot_bands([], None, "", ""), "bands"),
        (lambda: plot_bands([band("a", [[(0, 1.0)]])] * (len(STYLES) + 1), None, "", ""), "bands"),
        (lambda: plot_small_confusion(np.zeros((2, 3)), ("a", "b"), None, ""), "confusion"),
        (lambda: plot_small_embedding(np.zeros((3, 2)), np.zeros(2, int), ("a",), None, ""), "points"),
    ],
)
def test_a_wrong_argument_is_named(draw, argument):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        draw()


@pytest.mark.parametrize("k", [1, 2, 30])
def test_a_confusion_matrix_of_any_size(k):
    names = [f"class {i}" for i in range(k)]
    assert plot_small_confusion(np.eye(k, dtype=int) * 5, names, None, "all right").count("<text") >= k
    assert plot_small_confusion(np.zeros((k, k), int), names, None, "no faces")
