"""``docs/tools/bundle_model.py`` adds an export to the package's models, without paths of this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from script_module import load_script

from mfer_lightning import export, load_model
from mfer_lightning.bundled import registry
from mfer_lightning.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "tests" / "compatibility" / "files" / "runs" / "rafdb-convnext_atto-ds-dsf-s0-5db1b223"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_script("docs/tools/bundle_model.py")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return export(RUN, output=tmp_path / "exported", half=True, faces=0).folder


def test_export_becomes_the_default_model(
    tool: ModuleType, exported: Path, no_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = Path(shutil.copytree(RUN, tmp_path / "run"))
    result = json.loads((run / "result.json").read_text())
    result["config"]["paths"]["data"] = str(tmp_path / "sets")
    result["config"]["dataset"]["root"] = str(tmp_path / "sets" / "raf-db")
    (run / "result.json").write_text(json.dumps(result))
    tool.main([str(exported), str(run), "faces-v1"])
    assert "Added faces-v1" in capsys.readouterr().out
    assert registry.default_model().full_name == "faces-v1"
    assert set(registry.default_model().sha256) == {*tool.EXPORT_FILES, "result.json"}
    assert str(tmp_path) not in (no_models / "faces-v1" / "result.json").read_text()
    assert load_model(device="cpu").classifier.identity() == load_model(exported, "cpu").classifier.identity()
    tool.add_model(exported, run, "other-v1")
    assert registry.default_model().full_name == "faces-v1"
    tool.add_model(exported, run, "other-v2", default=True)
    assert registry.default_model().full_name == "other-v2"
    with pytest.raises(UserError, match="faces-v1 already exists: give the new weights the next version"):
        tool.add_model(exported, run, "faces-v1")


@pytest.mark.parametrize("name", ["ferplus-v1", "ferplus_tiny-v1"])
def test_cards_follow_the_current_template(name: str) -> None:
    tool, folder = load_script("docs/tools/bundled_cards.py"), ROOT / "src" / "mfer_lightning" / "bundled" / name
    assert tool.card_of(folder) == (folder / "README.md").read_text(encoding="utf-8")


def test_cards_are_written_again_with_their_checksums(
    tool: ModuleType, exported: Path, no_models: Path, capsys: pytest.CaptureFixture
) -> None:
    card = tool.add_model(exported, RUN, "faces-v1").folder / "README.md"
    original = card.read_text()
    card.write_text("an earlier template")
    with pytest.raises(UserError, match="faces-v1"):
        registry.default_model().checked()
    load_script("docs/tools/bundled_cards.py").main()
    assert card.read_text() == original
    registry.default_model().checked()


def test_incomplete_export_is_rejected(tool: ModuleType, exported: Path, no_models: Path, tmp_path: Path) -> None:
    for name in ("faces", "Faces-v1", "faces-v0", "../faces-v1"):
        with pytest.raises(UserError, match="is not a name with a version"):
            tool.add_model(exported, RUN, name)
    with pytest.raises(UserError, match=r"lacks model\.safetensors, config\.json, README\.md, export\.json"):
        tool.add_model(tmp_path, RUN, "faces-v1")
    with pytest.raises(UserError, match=r"result\.json that cannot be opened"):
        tool.add_model(exported, tmp_path, "faces-v1")
    assert registry.bundled_models() == []
    assert [f.name for f in no_models.iterdir()] == ["index.json"]
