"""Panels: SVG in the page's colours with unique ids, identical for identical data; errors name the argument."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from mfer_lightning.figures.confusion import confusion_panel
from mfer_lightning.figures.embedding import embedding_panel
from mfer_lightning.figures.estimates import Estimate, estimates_panel
from mfer_lightning.figures.learning_curves import STYLES, band, curves_panel

DOTS = [Estimate("ce · none", 60.0, 55.0, 65.0, (58.0, 62.0)), Estimate("$x_{ <b>", 70.0, verdict="better")]


def test_panel_is_an_svg_element(tmp_path: Path) -> None:
    svg = estimates_panel(
        DOTS, tmp_path / "a.png", "Accuracy", "accuracy (%)", baseline=60.0, reference=(80.0, "a single annotator")
    )
    assert svg.startswith("<svg viewBox=")
    assert svg.rstrip().endswith("</svg>")
    assert not re.search(r"<\?xml|<!DOCTYPE|<style|<metadata|#[0-9a-f]{6}\b", svg)
    assert {"var(--blue)", "var(--ink)", "var(--green)", "var(--sans)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert "&lt;b&gt;" in svg, "text is escaped, and stays text"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_panels_have_unique_ids_and_are_reproducible() -> None:
    first, second = (estimates_panel(DOTS[:n], None, "Difference", "points", differences=True) for n in (1, 2))
    names = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert names[0]
    assert not names[0] & names[1]
    for svg, own in zip((first, second), names, strict=True):
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= own
    assert first == estimates_panel(DOTS[:1], None, "Difference", "points", differences=True)


def test_verdict_has_a_shape_as_well_as_a_colour() -> None:
    shapes = set()
    for verdict in ("better", "worse", "tie", "undecided"):
        svg = estimates_panel([Estimate("a", 1.0, verdict=verdict)], None, "", "", differences=True)
        shapes.add(re.findall(r'<path id="[^"]+" d="([^"]+)"', svg)[-1])
    assert len(shapes) == 4


def test_contrast_verdict_is_shown_by_shape_and_words(tmp_path: Path) -> None:
    shapes = set()
    for verdict in ("better", "worse", "tie", "undecided"):
        row = Estimate("DSF <b> LGM", 1.0, -0.5, 2.5, (), verdict, f"{verdict}, claim told")
        svg = estimates_panel([row], tmp_path / "a.png", "Contrasts", "points", differences=True)
        shapes.add(re.findall(r'<path id="[^"]+" d="([^"]+)"', svg)[-1])
        assert f"{verdict}, claim told" in svg
        assert "DSF &lt;b&gt; LGM" in svg
        assert not re.search(r"#[0-9a-f]{6}\b", svg)
    assert len(shapes) == 4
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_contrast_without_comparison_keeps_its_row() -> None:
    first = Estimate("a", 1.0, 0.5, 1.5, (), "better", "better")
    second = Estimate("b " * 60, verdict="undecided", words="no predictions")
    both = estimates_panel([first, second], None, "", "", differences=True)
    assert "no predictions" in both
    assert "b b b" in both
    assert "b " * 40 not in both, "shortened, not drawn over the edge"


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of the panels drawn in a test."""
    found: list[Axes] = []
    label = Axes.set_xlabel
    monkeypatch.setattr(Axes, "set_xlabel", lambda a, *rest, **how: (found.append(a), label(a, *rest, **how))[1])
    return found


@pytest.mark.parametrize("lines", [{"differences": True}, {"baseline": 60.0, "reference": (65.0, "a person")}])
@pytest.mark.parametrize("words", ["", "tie"])
def test_lines_do_not_cross_labels(axes: list[Axes], lines: dict, words: str) -> None:
    rows = [Estimate(f"name {n}", 60.0, -5.0, 65.0, words=words) for n in range(3)]
    estimates_panel(rows, None, "", "", **lines)
    names = [text.get_position()[1] for text in axes[0].texts if text.get_text()]
    upright = [line.get_ydata() for line in axes[0].lines if len(set(line.get_xdata())) == 1 < len(line.get_ydata())]
    assert len(upright) == 3 * len(lines)
    assert not [y for y in names for low, high in upright if low - 0.05 < y < high + 0.05]


def test_distant_reference_is_named_without_stretching_the_axis(axes: list[Axes]) -> None:
    rows = [Estimate("a", 15.0, 10.0, 20.0)]
    far = estimates_panel(rows, None, "", "", reference=(97.7, "a person"))
    assert "a person: 97.7, outside this axis" in far
    assert axes[0].get_xlim() == pytest.approx((9.4, 20.6))
    estimates_panel(rows, None, "", "", reference=(25.0, "a person"))
    assert axes[1].get_xlim()[1] > 25


def test_band_is_mean_and_deviation_of_the_seeds_that_reached_the_epoch() -> None:
    found = band("a", [[(0, 1.0), (1, 2.0)], [(0, 3.0)]])
    assert found is not None
    assert (found.mean.tolist(), found.deviation.tolist()) == ([2.0, 2.0], [pytest.approx(2**0.5), 0.0])
    assert band("a", []) is None
    assert "epoch" in curves_panel([found], None, "Accuracy", "%", marks={"a": 0.5})


def test_epochs_are_counted_from_1(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[float]] = []
    plot = Axes.plot

    def spy(axes: Axes, x: object, *rest: object, **options: object) -> object:
        drawn.append(np.atleast_1d(x).tolist())
        return plot(axes, x, *rest, **options)

    monkeypatch.setattr(Axes, "plot", spy)
    found = band("a", [[(0, 1.0), (1, 2.0)]])
    assert found is not None
    curves_panel([found], None, "Accuracy", "%", marks={"a": 0.5})
    assert drawn == [[1, 2], [1.5]]


@pytest.mark.parametrize(
    ("draw", "argument"),
    [
        (lambda: estimates_panel([], None, "", ""), "rows"),
        (lambda: curves_panel([], None, "", ""), "bands"),
        (lambda: curves_panel([band("a", [[(0, 1.0)]])] * (len(STYLES) + 1), None, "", ""), "bands"),
        (lambda: confusion_panel(np.zeros((2, 3)), ("a", "b"), None, ""), "confusion"),
        (lambda: embedding_panel(np.zeros((3, 2)), np.zeros(2, int), ("a",), None, ""), "points"),
    ],
)
def test_invalid_argument_raises_value_error(draw, argument):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        draw()


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 30])
def test_confusion_matrix_of_any_size(k):
    names = [f"class {i}" for i in range(k)]
    assert confusion_panel(np.eye(k, dtype=int) * 5, names, None, "all right").count("<text") >= k
    assert confusion_panel(np.zeros((k, k), int), names, None, "no faces")
