"""`mfer export`: the model of a run written for others, measured against the run, and refused where it would harm."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands.conftest import FACS, only_run
from PIL import Image

from mfer_lightning.cli import main
from mfer_lightning.data.facs import FacsGenerator
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.inference.model import read_model
from mfer_lightning.onnx import OnnxModel


def mfer(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiniest network on the embedded dataset."""
    runs = tmp_path_factory.mktemp("export") / "runs"
    assert mfer(*FACS, "trainer.max_epochs=1", f"paths.runs={runs}", "evaluation.embedding_points=0") == 0
    return only_run(runs)


@pytest.fixture(scope="module")
def float_onnx(trained: Path) -> Path:
    """The run's ONNX export in float32, compared on drawn faces."""
    assert mfer("export", f"checkpoint={trained}", "format=onnx", "faces=0") == 0
    return trained / "exports" / "onnx"


@pytest.fixture(scope="module")
def onnx(trained: Path) -> Path:
    """The run's ONNX export, in 8 bits: both stages are compared on the way."""
    assert mfer("export", f"checkpoint={trained}", "format=onnx", "quantize=int8") == 0
    return trained / "exports" / "onnx-int8"


def test_a_run_becomes_a_folder_in_the_hugging_face_layout(trained: Path, capsys: pytest.CaptureFixture) -> None:
    assert mfer("export", f"checkpoint={trained}") == 0
    folder = trained / "exports" / "safetensors"
    assert f"Written: {folder}" in capsys.readouterr().out
    card = (folder / "README.md").read_text()
    result = json.loads((trained / "result.json").read_text())
    assert f"| Accuracy | {100 * result['metrics']['accuracy']:.2f}% |" in card
    assert "On **test** of `facs@native` (37 faces)" in card
    assert "no person's likeness" in card
    assert str(trained) not in card + (folder / "config.json").read_text()


def test_an_export_is_evaluated_like_its_run(trained: Path, tmp_path: Path) -> None:
    assert mfer("export", f"checkpoint={trained}", f"output={tmp_path / 'x'}") == 0
    said = ("device=cpu", "loader.num_workers=0", "evaluation.embedding_points=0", f"output={tmp_path / 'figures'}")
    assert mfer("evaluate", f"checkpoint={tmp_path / 'x'}", *said) == 0
    found = Predictions.from_csv(tmp_path / "figures" / "predictions_test.csv")
    expected = Predictions.from_csv(trained / "predictions_test.csv")
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)


def test_command_line_python_safetensors_and_onnx_give_the_same_probabilities(
    trained: Path, float_onnx: Path, tmp_path: Path
) -> None:
    faces = [FacsGenerator(size=32, seed=5).image("test", i) for i in range(6)]
    for i, face in enumerate(faces):
        (tmp_path / "faces").mkdir(exist_ok=True)
        Image.fromarray(np.asarray(face)).save(tmp_path / "faces" / f"{i}.png")
    assert mfer("export", f"checkpoint={trained}", f"output={tmp_path / 'safetensors'}") == 0
    forms = {"checkpoint": trained, "safetensors": tmp_path / "safetensors", "onnx": float_onnx}
    found = {"without torch": OnnxModel(float_onnx).predict(sorted((tmp_path / "faces").iterdir())).probabilities}
    model = read_model(trained, "cpu")
    batch = torch.from_numpy(np.stack(faces).transpose(0, 3, 1, 2).copy())
    expected = model(batch)["logits"].double().softmax(1).numpy()
    for name, where in forms.items():
        said = (f"source={tmp_path / 'faces'}", "aligned=true", "device=cpu", f"output={tmp_path / name}-said")
        assert mfer("predict", f"checkpoint={where}", *said) == 0
        with (tmp_path / f"{name}-said" / "predictions.csv").open() as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["path"])
        found[name] = np.array([[float(row[f"p_{n}"]) for n in model.class_names] for row in rows])
    for name, probabilities in found.items():
        np.testing.assert_allclose(probabilities, expected, atol=1e-4, err_msg=name)


def test_the_cost_of_eight_bits_is_measured_on_the_validation_faces(onnx: Path) -> None:
    said = json.loads((onnx / "export.json").read_text())
    first, noise = said["comparisons"]
    assert (first["faces"], first["n"], first["labelled"]) == ("val of facs@native", 24, 24)
    assert noise["faces"] == "random pixels"
    assert first["right"][1] == first["right"][0] - first["lost"] + first["won"]
    assert said["before_quantisation"][0]["largest_difference"] < 1e-4 <= first["largest_difference"] * 1e4
    assert OnnxModel(onnx).description.quantized == "int8"
    assert "before quantisation, val of facs@native" in (onnx / "README.md").read_text()


def test_a_second_export_is_refused_or_replaces_the_first(
    trained: Path, onnx: Path, capsys: pytest.CaptureFixture
) -> None:
    before = (onnx / "model.onnx").read_bytes()
    assert mfer("export", f"checkpoint={trained}", "format=onnx", "quantize=int8") == 2
    assert "replace=true" in capsys.readouterr().err
    assert (onnx / "model.onnx").read_bytes() == before


def test_where_the_data_are_not_at_hand_drawn_faces_stand_in_and_it_is_said(trained: Path, float_onnx: Path) -> None:
    said = json.loads((float_onnx / "export.json").read_text())
    assert [c["faces"] for c in said["comparisons"]] == ["drawn faces", "random pixels"]
    assert "the cost in accuracy is not measured" in said["remarks"][0]
    test = Predictions.from_csv(trained / "predictions_test.csv")
    assert OnnxModel(float_onnx).class_names == test.class_names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Say what to export"),
        (("checkpoint=nothing",), "There is no nothing"),
        (("checkpoint={run}", "format=onx"), "did you mean 'onnx'"),
        (("checkpoint={run}", "quantize=int8"), "belongs to format=onnx"),
        (("checkpoint={run}", "quantize=int4", "format=onnx"), "did you mean 'int8'"),
        (("checkpoint={run}", "faces=-1"), "at least 0"),
        (("checkpoint={run}", "outptu=x"), "Did you mean 'output'"),
        (("checkpoint={run}/config.yaml",), "cannot be read as a checkpoint"),
        (("checkpoint={run}", "output={run}", "replace=true"), "other things than an export"),
    ],
)
def test_a_mistake_is_one_message(
    arguments: tuple[str, ...], words: str, trained: Path, capsys: pytest.CaptureFixture
) -> None:
    before = sorted(f.name for f in trained.iterdir() if f.name != "exports")
    assert mfer("export", *(a.format(run=trained) for a in arguments)) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert sorted(f.name for f in trained.iterdir() if f.name != "exports") == before
