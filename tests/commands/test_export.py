"""`mfer export`: export the model of a run, compare it with the run, and reject unsafe targets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from commands.conftest import FACS, only_run
from commands.conftest import command as mfer
from PIL import Image

from mfer_lightning.data.facs import FacsGenerator
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.inference.load import load_model
from mfer_lightning.onnx import OnnxModel
from mfer_lightning.views import Views


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiniest network on the built-in dataset."""
    runs = tmp_path_factory.mktemp("export") / "runs"
    averaged = "evaluation={flip:true,shift:0.05,embedding_points:0}"
    assert mfer(*FACS, "trainer.max_epochs=1", f"paths.runs={runs}", averaged) == 0
    return only_run(runs)


@pytest.fixture(scope="module")
def float_onnx(trained: Path) -> Path:
    """The run's ONNX export in float32, compared on synthetic faces."""
    assert mfer("export", f"checkpoint={trained}", "format=onnx", "faces=0") == 0
    return trained / "exports" / "onnx"


@pytest.fixture(scope="module")
def onnx(trained: Path) -> Path:
    """The run's ONNX export in 8 bits, with both stages compared."""
    assert mfer("export", f"checkpoint={trained}", "format=onnx", "quantize=int8") == 0
    return trained / "exports" / "onnx-int8"


def test_run_is_exported_in_hugging_face_layout(trained: Path, capsys: pytest.CaptureFixture) -> None:
    assert mfer("export", f"checkpoint={trained}") == 0
    folder = trained / "exports" / "safetensors"
    assert f"Written: {folder}" in capsys.readouterr().out
    card = (folder / "README.md").read_text()
    result = json.loads((trained / "result.json").read_text())
    assert f"| Accuracy | {100 * result['metrics']['accuracy']:.2f}% |" in card
    words = Views(flip=True, shift=0.05).words
    assert f"On **test** of `facs@native` (37 faces, {words}):" in card
    assert "they do not depict real people" in card
    assert "\nlicense: mit\n" in card
    assert "epoch of the checkpoint: 1\n" in card
    assert str(trained) not in card + (folder / "config.json").read_text()


def test_prediction_on_saved_faces_matches_evaluation(trained: Path, tmp_path: Path) -> None:
    """The faces of the built-in dataset, written as files and predicted, against predictions_test.csv."""
    config = read_checkpoint(trained / "checkpoints" / "best.ckpt")["mfer"]["config"]["dataset"]
    generator = FacsGenerator(size=config["size"], seed=config["data_seed"], difficulty=config["difficulty"])
    with (trained / "predictions_test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:12]
    for row in rows:
        path = tmp_path / row["path"]
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.image("test", int(path.stem))).save(path)
    said = (f"source={tmp_path / 'test'}", "aligned=true", "device=cpu", f"output={tmp_path / 'out'}")
    assert mfer("predict", f"checkpoint={trained}", *said) == 0
    lines = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    found = {line["key"]: line["faces"][0]["probabilities"] for line in map(json.loads, lines)}
    assert len(found) == len(rows)
    for row in rows:
        for name, share in found[Path(row["path"]).name].items():
            assert share == pytest.approx(float(row[f"p_{name}"]), abs=1e-4)
    alone = ("flip=false", "shift=0", f"output={tmp_path / 'alone'}")
    assert mfer("predict", f"checkpoint={trained}", *said[:3], *alone) == 0
    other = json.loads((tmp_path / "alone" / "predictions.jsonl").read_text().splitlines()[0])
    averaged = found[other["key"]]
    moved = max(abs(share - averaged[name]) for name, share in other["faces"][0]["probabilities"].items())
    assert moved > 1e-3, "a single view must give different probabilities, or nothing was averaged"


def test_views_are_stored_in_the_export(trained: Path, tmp_path: Path) -> None:
    assert mfer("export", f"checkpoint={trained}", f"output={tmp_path / 'x'}") == 0
    for where in (trained, tmp_path / "x"):
        assert load_model(where, "cpu").classifier.views == Views(flip=True, shift=0.05)
    assert load_model(trained, "cpu", shift=0.0).classifier.views == Views(flip=True)


@pytest.mark.slow
def test_onnx_file_keeps_the_views_of_its_checkpoint(float_onnx: Path) -> None:
    assert load_model(float_onnx, "cpu").classifier.views == Views(flip=True, shift=0.05)
    with pytest.raises(UserError, match="shift=0: the ONNX file was exported with a different value"):
        load_model(float_onnx, "cpu", shift=0.0)


@pytest.mark.slow
def test_export_evaluates_like_its_run(trained: Path, tmp_path: Path) -> None:
    assert mfer("export", f"checkpoint={trained}", f"output={tmp_path / 'x'}") == 0
    said = ("device=cpu", "loader.num_workers=0", "evaluation.embedding_points=0", f"output={tmp_path / 'figures'}")
    assert mfer("evaluate", f"checkpoint={tmp_path / 'x'}", *said) == 0
    found = Predictions.from_csv(tmp_path / "figures" / "predictions_test.csv")
    expected = Predictions.from_csv(trained / "predictions_test.csv")
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)


@pytest.mark.slow
def test_int8_accuracy_loss_is_measured_on_validation_faces(onnx: Path) -> None:
    said = json.loads((onnx / "export.json").read_text())
    first, noise = said["comparisons"]
    assert (first["faces"], first["n"], first["labelled"]) == ("val of facs@native", 24, 24)
    assert noise["faces"] == "random pixels"
    assert first["right"][1] == first["right"][0] - first["lost"] + first["won"]
    assert said["before_quantisation"][0]["largest_difference"] < 1e-4 <= first["largest_difference"] * 1e4
    assert OnnxModel(onnx).description.quantized == "int8"
    assert "before quantisation, val of facs@native" in (onnx / "README.md").read_text()


def test_second_export_is_rejected_or_overwrites_the_first(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ("export", f"checkpoint={trained}", f"output={tmp_path / 'x'}")
    assert mfer(*command) == 0
    before = (tmp_path / "x" / "model.safetensors").stat().st_mtime_ns
    assert mfer(*command) == 2
    assert "replace=true" in capsys.readouterr().err
    assert (tmp_path / "x" / "model.safetensors").stat().st_mtime_ns == before
    assert mfer(*command, "replace=true") == 0
    assert (tmp_path / "x" / "model.safetensors").stat().st_mtime_ns > before


@pytest.mark.slow
def test_drawn_faces_replace_missing_data_and_are_reported(trained: Path, float_onnx: Path) -> None:
    said = json.loads((float_onnx / "export.json").read_text())
    assert [c["faces"] for c in said["comparisons"]] == ["synthetic faces", "random pixels"]
    assert "the cost in accuracy is not measured" in said["remarks"][0]
    test = Predictions.from_csv(trained / "predictions_test.csv")
    assert OnnxModel(float_onnx).class_names == test.class_names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Nothing to export: give checkpoint="),
        (("checkpoint=nothing",), "There is no nothing"),
        (("checkpoint={run}", "format=onx"), "did you mean 'onnx'"),
        (("checkpoint={run}", "quantize=int8"), "quantize=int8 needs format=onnx"),
        (("checkpoint={run}", "quantize=int4", "format=onnx"), "did you mean 'int8'"),
        (("checkpoint={run}", "faces=-1"), "at least 0"),
        (("checkpoint={run}", "outptu=x"), "Did you mean 'output'"),
        (("checkpoint={run}/config.yaml",), "cannot be read as a checkpoint"),
        (("checkpoint={run}", "output={run}", "replace=true"), "contains files other than an export"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(
    arguments: tuple[str, ...], words: str, trained: Path, capsys: pytest.CaptureFixture
) -> None:
    before = sorted(f.name for f in trained.iterdir() if f.name != "exports")
    assert mfer("export", *(a.format(run=trained) for a in arguments)) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert sorted(f.name for f in trained.iterdir() if f.name != "exports") == before
