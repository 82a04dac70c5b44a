"""The settings that `mfer align` saved are found in the folder of a face or above it, and mismatches are reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mfer_lightning.data.alignment import read_alignment
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.errors import UserError

SETTINGS = {"template": "face-evolve-112@1", "height": 112, "margin": 0.0, "border": "black", "refine": 2}


def index(root: Path, *paths: str) -> FaceIndex:
    count = len(paths)
    return FaceIndex(
        dataset="folder",
        layout="test",
        root=root,
        class_names=("anger", "fear"),
        path=np.array(paths),
        partition=np.full(count, "train"),
        label=np.zeros(count, dtype=np.int64),
    )


def put(folder: Path, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alignment.json").write_text(json.dumps({**SETTINGS, **changes}))


def test_nearest_settings_file_up_to_the_root_is_used(tmp_path: Path) -> None:
    put(tmp_path, height=1)  # above the root of the dataset: not used
    root = tmp_path / "faces"
    root.mkdir()
    assert read_alignment(index(root, "train/fear/1.png")) == (None, [])
    put(root)
    assert read_alignment(index(root, "train/fear/1.png"))[0] == SETTINGS
    put(root / "train", height=64)
    assert read_alignment(index(root, "train/fear/1.png", "1.png", "train/2.png"))[0]["height"] == 64


def test_mixed_and_missing_alignment_are_noted(tmp_path: Path) -> None:
    put(tmp_path / "a")
    put(tmp_path / "b", margin=0.5)
    put(tmp_path / "c", quality=10)  # affects only how files are written, not the alignment
    (tmp_path / "d").mkdir()
    settings, notes = read_alignment(index(tmp_path, "a/1.png", "a/2.png", "b/1.png", "c/1.png", "d/1.png"))
    assert settings == SETTINGS
    assert len(notes) == 2
    assert "1 face has no alignment.json" in notes[0]
    assert "1 face was aligned differently" in notes[1]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"height": "tall", "template": "x"}'])
def test_damaged_settings_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "alignment.json").write_text(content)
    with pytest.raises(UserError, match=r"alignment\.json is damaged"):
        read_alignment(index(tmp_path, "1.png"))
