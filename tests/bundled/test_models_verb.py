"""``mfer models``: bundled models first, then those of runs by protocol, each with its result."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mfer_lightning import models
from mfer_lightning.cli import main
from mfer_lightning.errors import UserError

FILES = Path(__file__).parents[1] / "compatibility" / "files" / "runs"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one finished run, one without a checkpoint and one that is not finished."""
    monkeypatch.chdir(tmp_path)
    (whole,) = (f for f in FILES.iterdir() if f.name.startswith("rafdb-convnext_atto-ds-dsf"))
    for name in ("whole", "without", "begun"):
        shutil.copytree(whole, tmp_path / "runs" / name)
    shutil.rmtree(tmp_path / "runs" / "without" / "checkpoints")
    (tmp_path / "runs" / "begun" / "result.json").unlink()
    return tmp_path / "runs"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(("models", *arguments))
    return int(stop.value.code or 0)


def test_bundled_models_come_first_then_runs_by_protocol(bundled: Path, runs: Path) -> None:
    found = models()
    assert [m.name for m in found] == ["large-v2", "large-v1", "small-v1", "runs/whole"]
    assert [m.default for m in found] == [True, False, False, False]
    first, last = found[0], found[-1]
    assert (first.dataset, first.protocol, first.split, first.n) == ("ferplus", "ferplus@majority", "val", 1000)
    assert first.accuracy == 0.88
    assert first.interval == pytest.approx((0.858, 0.899), abs=1e-3)
    assert first.bytes == (bundled / "large-v2" / "model.safetensors").stat().st_size
    result = json.loads((runs / "whole" / "result.json").read_text())
    assert (last.bundled, last.accuracy) == (False, result["metrics"]["accuracy"])
    assert last.parameters == result["cost"]["parameters"]
    assert last.class_names == tuple(result["class_names"])


def test_number_of_parameters_is_that_of_the_network() -> None:
    from mfer_lightning.inference.model import read_model
    from mfer_lightning.nn.cost import count_parameters

    found = [(model.parameters, read_model(model.name, "cpu").network) for model in models("none")]
    assert found
    for parameters, network in found:
        assert parameters == count_parameters(network)
        assert parameters < sum(v.numel() for v in network.state_dict().values())  # buffers do not count


def test_number_of_parameters_is_unknown_without_a_recorded_cost(bundled: Path) -> None:
    assert models("none")[0].parameters is None


@pytest.mark.parametrize("content", [None, "{}", '{"results": 3, "class_names": 5}'])
def test_damaged_model_raises_one_clear_error(
    content: str | None, bundled: Path, runs: Path, capfd: pytest.CaptureFixture
) -> None:
    path = bundled / "small-v1" / ("model.safetensors" if content is None else "config.json")
    path.unlink() if content is None else path.write_text(content)
    assert run() == 2
    assert capfd.readouterr().err.startswith("Error: The bundled model small-v1 is ")


def test_models_can_be_filtered_by_dataset(bundled: Path, runs: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("dataset=jaffe") == 0
    assert capsys.readouterr().out.strip() == "No bundled model or finished run was trained on jaffe."
    assert run("dataset=rafdb") == 0
    assert "has no bundled model" not in capsys.readouterr().out
    assert [m.name for m in models(trained_on="rafdb")] == ["runs/whole"]
    assert [m.name for m in models("none")] == ["large-v2", "large-v1", "small-v1"]


def test_terminal_output_fits_into_80_columns(bundled: Path, runs: Path, capsys: pytest.CaptureFixture) -> None:
    assert run() == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    for words in ("Bundled with mfer_lightning", "large-v2 (default)", "88.0% (85.8 to 89.9)", "ferplus@majority, val"):
        assert words in said
    assert said.index("small-v1") < said.index("Trained here") < said.index("runs/whole")


def test_json_output_matches_the_python_interface(bundled: Path, runs: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("--json", "dataset=rafdb") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row == models(trained_on="rafdb")[0].to_dict() | {k: list(row[k]) for k in ("class_names", "interval")}


def test_missing_models_are_reported(
    no_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run() == 0
    assert capsys.readouterr().out == (
        "This version of mfer_lightning has no bundled model.\n"
        "No finished run with a checkpoint was found. Create one with mfer train.\n"
    )
    with pytest.raises(UserError, match="There is no folder elsewhere"):
        models("elsewhere")
    assert run("--json") == 0
    assert capsys.readouterr().out == "[]\n"


def test_models_verb_does_not_import_torch(runs: Path) -> None:
    code = (
        "import sys; sys.argv = ['mfer', 'models']\nfrom mfer_lightning.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert e.code == 0\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120, cwd=runs.parent)


def test_bundled_models_are_listed_without_scipy_and_the_libraries_of_figures(tmp_path: Path) -> None:
    code = (
        "import sys; from mfer_lightning.cli import main\n"
        "try: main(['models'])\nexcept SystemExit as e: assert e.code == 0\n"
        "needless = {'torch', 'scipy', 'pandas', 'matplotlib', 'cv2', 'PIL'} & set(sys.modules)\n"
        "assert not needless, needless"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
