"""The example grid: faces with the most confident predictions, correct above wrong, each with its prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from mfer_lightning.figures.example_grid import plot_example_grid, surest

Check = Callable[[Figure, Path], list[str]]


def table(n: int = 200, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k)) + 2 * np.eye(k)[label] + 2 * (np.arange(k) == 0)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), label


def test_wrong_examples_are_the_most_confident_errors() -> None:
    p, label = table()
    rows = surest(p, label, 12, right=False)
    sure = p.max(axis=1)
    assert (p[rows].argmax(axis=1) != label[rows]).all()
    np.testing.assert_array_equal(np.sort(sure[rows])[::-1], np.sort(sure[p.argmax(axis=1) != label])[::-1][:12])
    assert (np.diff(sure[rows]) <= 0).all()


def test_correct_examples_alternate_between_classes() -> None:
    p, label = table()
    rows = surest(p, label, 8, right=True)
    assert np.bincount(label[rows], minlength=4).tolist() == [2, 2, 2, 2]
    for k in range(4):
        mine = (label == k) & (p.argmax(axis=1) == k)
        assert p[rows[label[rows] == k]].max() == p[mine].max()


def test_fewer_examples_are_allowed_and_unlabelled_faces_are_skipped() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    label = np.array([0, -1, 1])
    assert surest(p, label, 5, right=True).tolist() == [0]
    assert surest(p, label, 5, right=False).tolist() == [2]


@pytest.mark.parametrize("shown", ["both", "correct", "incorrect"])
def test_each_face_is_captioned_with_its_prediction(
    shown: str, tmp_path: Path, drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    p, label = table()
    kinds = [kind for kind in ("correct", "incorrect") if shown in ("both", kind)]
    rows = np.concatenate([surest(p, label, 10, right=kind == "correct") for kind in kinds])
    faces = [np.full((20 + i % 3, 20, 3), 10 * i, np.uint8) for i in range(len(rows))]
    names = ("neutral", "surprise", "happiness", "contempt")
    plot_example_grid(faces, label[rows], p[rows], names, tmp_path / "grid.png", "Surest predictions (x@y, test)")
    words = texts(drawn[0], monkeypatch)
    blocks = [w for w in words if w.startswith("most confident")]
    assert blocks == [f"most confident {kind} predictions" for kind in kinds]
    captions = [w for w in words if "%" in w]
    assert len(captions) == len(rows)
    for row in rows:
        said, true = names[p[row].argmax()], names[label[row]]
        caption = f"{said} {100 * p[row].max():.0f}%"
        assert (caption if said == true else f"{caption}\ntruth: {true}") in captions


def texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts of a figure, after checking their size, that they lie inside it and that none overlap."""
    from matplotlib.text import Text

    found: list[Text] = []
    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, renderer: found.append(text))
        figure.canvas.draw()
    found = [t for t in found if t.get_visible() and t.get_text().strip()]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [t.get_window_extent(renderer) for t in found]
    for text, box in zip(found, boxes, strict=True):
        assert text.get_fontsize() >= 7
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    for i, box in enumerate(boxes):
        for other, text in zip(boxes[i + 1 :], found[i + 1 :], strict=True):
            assert not box.overlaps(other), f"{found[i].get_text()!r} lies on {text.get_text()!r}"
    return [t.get_text() for t in found]


def test_invalid_arguments_raise_value_error(tmp_path: Path) -> None:
    p, label = table()
    with pytest.raises(ValueError, match="`label` to be of shape"):
        surest(p, label[:-1], 3, right=True)
    with pytest.raises(ValueError, match="to have the same length, at least 1, but got 0, 0 and 0"):
        plot_example_grid([], label[:0], p[:0], ("a", "b", "c", "d"), tmp_path / "g.png")
    assert not list(tmp_path.iterdir())
