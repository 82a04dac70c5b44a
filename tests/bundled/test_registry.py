"""Bundled models: found by name, newest version first, and verified before loading."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundled.conftest import RESULT
from PIL import Image

from mfer_lightning import load_model
from mfer_lightning.bundled.registry import bundled_models, default_model, find_bundled
from mfer_lightning.cli import main
from mfer_lightning.errors import UserError
from mfer_lightning.files import write_json
from mfer_lightning.inference.default_model import in_one_line
from mfer_lightning.inference.model import read_model


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


@pytest.fixture
def face(tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    Image.effect_noise((48, 48), 90).convert("RGB").save(path)
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_package_index_is_complete() -> None:
    for model in bundled_models():
        assert {"config.json", "model.safetensors", "README.md", "result.json"} <= set(model.sha256)
        model.checked()


def test_name_without_version_means_the_newest(bundled: Path) -> None:
    assert [m.full_name for m in bundled_models()] == ["large-v2", "large-v1", "small-v1"]
    assert default_model().full_name == "large-v2"
    found = {name: find_bundled(name) for name in ("large", "large-v1", "large-v3", "Large", "runs/large", "large-v01")}
    assert {name: m and m.full_name for name, m in found.items()} == {
        "large": "large-v2",
        "large-v1": "large-v1",
        "large-v3": None,
        "Large": None,
        "runs/large": None,
        "large-v01": None,
    }


def test_model_is_loaded_by_name_or_by_default(bundled: Path, capfd: pytest.CaptureFixture) -> None:
    by_name = {name: load_model(name, "cpu").classifier.identity() for name in ("small", "large", "large-v1")}
    assert len(set(by_name.values())) == 3
    assert not capfd.readouterr().out
    assert load_model(device="cpu").classifier.identity() == by_name["large"]
    assert capfd.readouterr().out == (
        "Model: large-v2, bundled with mfer_lightning: accuracy 88.0% (85.8% to 89.9%) on 1,000 faces of "
        "ferplus@majority, val. It names the expression that observers would see, not what a person feels. Do not "
        "use it for decisions about people (docs/bundled_models.md).\n"
    )
    assert read_model("small", "cpu").source == bundled / "small-v1"


def test_announced_result_is_from_a_test_split_if_there_is_one(bundled: Path) -> None:
    assert in_one_line(default_model()).startswith("large-v2, bundled with mfer_lightning: accuracy 88.0%")
    assert default_model().result() == RESULT
    write_json(bundled / "large-v2" / "config.json", {"results": [RESULT, {**RESULT, "split": "test", "n": 9}]})
    assert default_model().result() == {**RESULT, "split": "test", "n": 9}
    assert "on 9 faces of ferplus@majority, test." in in_one_line(default_model())


@pytest.mark.parametrize("results", [{"a": 1}, ["x"], [None], "val", 5, [RESULT, {}]])
def test_malformed_results_raise_one_clear_error(bundled: Path, results: object) -> None:
    write_json(bundled / "large-v2" / "config.json", {"results": results})
    with pytest.raises(UserError, match="its results are malformed"):
        default_model().result()


def test_predict_uses_the_default_model_for_a_bare_path(
    bundled: Path, face: Path, capfd: pytest.CaptureFixture
) -> None:
    assert run("predict", str(face), "aligned=true", "output=a") == 0
    said = capfd.readouterr().out
    assert said.count("Model: large-v2") == 1
    assert run("predict", f"source={face}", "checkpoint=large", "aligned=true", "output=a") == 0
    assert "Already done: 1 of 1 photo." in capfd.readouterr().out
    assert run("predict", str(face), "checkpoint=large-v1", "aligned=true", "output=a") == 2
    assert "checkpoint" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "a.jpg", "b.jpg"), "mfer predict takes one source, but 2 are given (a.jpg, b.jpg"),
        (("predict", "a.jpg", "source=b.jpg"), "takes one source"),
        (("predict", "nothing.jpg"), "source=nothing.jpg: there is no such file or folder"),
        (("predict",), "source"),
        (("predict", "x.jpg", "checkpoint="), "checkpoint= has no value"),
        (("demo", "checkpoint="), "checkpoint= has no value"),
        (("export",), "Nothing to export: give checkpoint="),
        (("evaluate",), "Nothing to evaluate: give checkpoint="),
    ],
)
def test_ambiguous_arguments_are_an_error(
    words: tuple[str, ...], said: str, bundled: Path, capfd: pytest.CaptureFixture
) -> None:
    assert run(*words) == 2
    assert said in capfd.readouterr().err


def test_missing_bundled_models_raise_one_clear_error(
    no_models: Path, face: Path, capfd: pytest.CaptureFixture
) -> None:
    assert bundled_models() == []
    with pytest.raises(UserError, match=r"This version of mfer_lightning has no bundled model.* checkpoint="):
        load_model()
    assert run("predict", str(face)) == 2
    assert capfd.readouterr().err.startswith("Error: This version of mfer_lightning has no bundled model")
    with pytest.raises(UserError, match=r"There is no ferplus\. Give a run's folder .*best\.ckpt\)\.$"):
        load_model("ferplus")


def test_unknown_name_lists_the_available_ones(bundled: Path) -> None:
    with pytest.raises(UserError, match=r"There is no ferplus\. .*Bundled models: large-v2, large-v1, small-v1\."):
        load_model("ferplus")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "README.md"])
@pytest.mark.parametrize("harm", ["changed", "removed"])
def test_damaged_file_raises_one_clear_error(file: str, harm: str, bundled: Path) -> None:
    path = bundled / "small-v1" / file
    content = bytearray(path.read_bytes())
    path.unlink()
    if harm == "changed":
        content[-1] ^= 1
        path.write_bytes(content)
    said = "changed" if harm == "changed" else "missing"
    with pytest.raises(
        UserError,
        match=rf"^The bundled model small-v1 is damaged: {said} file .*{file}\. Reinstall "
        rf"mfer_lightning\.$",
    ):
        load_model("small")
    load_model("large", "cpu")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"models": []}',
        '{"models": {"a": 1}}',
        '{"models": {"A b": {}}}',
        '{"default": "b", "models": {"a-v1": {}}}',
    ],
)
def test_damaged_index_raises_one_clear_error(content: str, bundled: Path) -> None:
    (bundled / "index.json").write_text(content)
    with pytest.raises(
        UserError,
        match=r"^index\.json of the bundled models is damaged \(.*\)\. Reinstall "
        r"mfer_lightning\.$",
    ):
        load_model("small")


def test_local_file_or_folder_takes_precedence_with_a_note(bundled: Path, capfd: pytest.CaptureFixture) -> None:
    (bundled / "small-v1").rename("large")  # a folder in the working directory
    load_model("large", "cpu")
    out = capfd.readouterr().out
    assert out == (
        "Note: large is a file or folder here, and is used instead of the bundled model. To use the bundled "
        "model, set checkpoint=large-v2.\n"
    )
    assert load_model("large-v2", "cpu").classifier.identity() != load_model("large", "cpu").classifier.identity()


def test_bundled_model_is_exported_to_the_working_directory(bundled: Path, capfd: pytest.CaptureFixture) -> None:
    before = sorted(bundled.rglob("*"))
    assert run("export", "checkpoint=small") == 0
    assert sorted(p.name for p in Path("exports/small-v1-safetensors").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert sorted(bundled.rglob("*")) == before
