"""benchmarks/own_photos.py: mistakes in its arguments give one message, and nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from script_module import ROOT, load_script


@pytest.fixture
def own_photos(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return load_script("benchmarks/own_photos.py")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "Cannot read {folder}/labels.csv: No such file or directory."),
        ("", "{folder}/labels.csv must have the columns image and emotion"),
        ("photo,label\na.jpg,anger\n", "{folder}/labels.csv must have the columns image and emotion"),
        ("image,emotion\na.jpg\n", "{folder}/labels.csv must have the columns image and emotion"),
        ("image,emotion\na.jpg,anger\nb.jpg,fear\n", "{folder}/labels.csv: 1 of 2 photos missing, e.g. b.jpg."),
    ],
)
def test_wrong_folder_gives_one_message(
    own_photos: ModuleType,
    table: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").touch()
    if table is not None:
        (folder / "labels.csv").write_text(table)
    assert run(own_photos, monkeypatch, folder, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {message.format(folder=folder)}")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_existing_output_folder_is_kept(
    own_photos: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "labels.csv").write_text("image,emotion\na.jpg,anger\n")
    (tmp_path / "out").mkdir()
    assert run(own_photos, monkeypatch, tmp_path, tmp_path / "out") == 2
    assert capsys.readouterr().err == f"Error: --out {tmp_path / 'out'} already exists. Choose a new folder.\n"
    assert not list((tmp_path / "out").iterdir())


def test_variants_change_the_learning_rate_of_the_recipe(own_photos: ModuleType) -> None:
    for recipe, rate in own_photos.RECIPES.values():
        text = (ROOT / "conf" / "experiment" / f"{recipe}.yaml").read_text()
        assert f"lr: {rate:.1e}".replace("e-0", "e-") in text
        variants = own_photos.variants(rate)
        assert variants[f"fine-tuned, lr={rate:g}"] == []
        assert "freeze.epochs=null" in variants[f"heads only, lr={3 * rate:g}"], "frozen during the whole run"


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, photos: Path, out: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["own_photos.py", str(photos), "--half", "all", "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        script.main()
    return int(stop.value.code or 0)
