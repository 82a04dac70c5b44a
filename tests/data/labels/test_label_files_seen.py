"""Label files are read or rejected as listed in docs/datasets.md, and five of them are used for training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from commands.conftest import TINY
from data.labels.seen import REFUSED, SEEN
from data.layout_trees import write_picture

import mfer_lightning.data.datasets.folder as folder
from mfer_lightning.cli import main
from mfer_lightning.errors import UserError

DOCS = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SEEN)
def test_label_file_is_read(tmp_path: Path, name: str) -> None:
    seen = SEEN[name]
    index = folder.read_folder(seen.write(tmp_path), **seen.options)
    assert index.class_names == seen.classes
    assert len(index) == 8
    assert all((tmp_path / path).is_file() for path in index.path.tolist())
    counts = Counter(index.class_names[k] for k in index.label.tolist())
    assert max(counts.values()) - min(counts.values()) <= 1
    assert set(seen.attributes) <= set(index.attributes)
    assert set(index.partition.tolist()) == ({"train", "val", "test"} if "Usage" in seen.begins else {"train"})


@pytest.mark.parametrize("begins", REFUSED)
def test_rejected_label_file_explains_what_to_do(tmp_path: Path, begins: str) -> None:
    (tmp_path / "labels.csv").write_text(f"{begins}\n" + "1.jpg,0,1,1\n"[: 7 + 2 * begins.count(",")] + "\n")
    write_picture(tmp_path / "1.jpg", __import__("numpy").random.default_rng(0))
    with pytest.raises(UserError, match=REFUSED[begins]):
        folder.read_folder(tmp_path)


@pytest.mark.parametrize("begins", [*(seen.begins for seen in SEEN.values()), *REFUSED])
def test_label_file_is_documented(begins: str) -> None:
    shown = begins.replace("\t", "⇥").format(i=1, label="happy")
    assert f"`{shown}`" in DOCS


@pytest.mark.parametrize(
    "name",
    [
        "muxspace legend.csv",
        "AffectNet on Kaggle",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("Excel Unicode text", "EmotionalDAN train.txt", "usage as in FER2013")
        ),
    ],
)
def test_label_file_can_be_trained_on(
    blank_figures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = SEEN[name]
    root = seen.write(tmp_path / "faces", 36)
    options = [f"dataset.{key}={value}".replace("'", "").replace(" ", "") for key, value in seen.options.items()]
    small = ("trainer.max_epochs=1", "loader.batch_size=8", "evaluation.embedding_points=0")
    with pytest.raises(SystemExit) as stop:
        main(("dataset=folder", f"dataset.root={root}", *options, *TINY, *small))
    assert not stop.value.code
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 1
