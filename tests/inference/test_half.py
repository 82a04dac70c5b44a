"""Exports in half precision: half the size, read back in float32, predictions within a tolerance, or rejected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from inference.conftest import NAMES, SIZE, TINY, Forms, tiny_network, write_checkpoint

from mfer_lightning import export, load_model
from mfer_lightning.cli import main
from mfer_lightning.errors import UserError
from mfer_lightning.inference.export import half
from mfer_lightning.inference.export.half import TOLERANCE, halved, save_half
from mfer_lightning.inference.export.parity import random_faces
from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.onnx import OnnxModel


def probabilities(model: FERModel, faces: np.ndarray) -> np.ndarray:
    batch = torch.from_numpy(faces.transpose(0, 3, 1, 2).copy())
    return model(batch)["logits"].double().softmax(1).numpy()


def test_half_precision_file_is_half_the_size_with_similar_predictions(
    forms: Forms, faces: np.ndarray, tmp_path: Path
) -> None:
    written = export(forms.checkpoint, output=tmp_path / "half", half=True, faces=0)
    whole = (forms.safetensors / "model.safetensors").stat().st_size
    # more than half, because tensor names and 1-D weights keep their size
    assert (written.folder / "model.safetensors").stat().st_size < 0.6 * whole
    again = read_model(written.folder, "cpu")
    assert {p.dtype for p in again.network.parameters()} == {torch.float32}
    difference = np.abs(probabilities(again, faces) - probabilities(forms.model, faces)).max()
    assert 0 < difference <= TOLERANCE
    assert (
        load_model(written.folder, "cpu").classifier.identity() != load_model(forms.safetensors).classifier.identity()
    )


def test_measured_differences_are_in_the_export_and_the_model_card(forms: Forms, tmp_path: Path) -> None:
    written = export(forms.checkpoint, output=tmp_path / "half", half=True, faces=0)
    stored = json.loads((written.folder / "export.json").read_text())
    assert (stored["format"], stored["half"], stored["tolerance"]) == ("safetensors", True, TOLERANCE)
    assert [c["faces"] for c in stored["comparisons"]] == ["synthetic faces", "random pixels"]
    assert all(0 < c["largest_difference"] <= TOLERANCE for c in stored["comparisons"])
    assert written.comparisons[0].sentence in (written.folder / "README.md").read_text()
    assert json.loads((written.folder / "config.json").read_text())["torch_dtype"] == "float16"
    whole = export(written.folder, output=tmp_path / "whole")
    assert "torch_dtype" not in json.loads((whole.folder / "config.json").read_text())


@pytest.mark.parametrize("attention", ["ds", "dynamic", "static", "ds_depthwise", "none"])
@pytest.mark.parametrize("head", ["multiscale", "linear"])
def test_every_attention_and_head_is_within_tolerance(attention: str, head: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {} if attention in ("none", "dynamic") else {"kernel_size": 3}
    network = MFER(TINY, len(NAMES), attention={"name": attention, **options}, head={"name": head})
    model = FERModel(network, Preprocess(size=SIZE), NAMES, {}, tmp_path)
    (found,) = save_half(model, tmp_path / "half", [random_faces(SIZE, True)])
    assert 0 < found.largest_difference <= TOLERANCE


def test_valence_and_arousal_are_compared_too(tmp_path: Path) -> None:
    network = MFER(TINY, len(NAMES), valence_arousal=True)
    (found,) = save_half(
        FERModel(network, Preprocess(size=SIZE), NAMES, {}, tmp_path), tmp_path / "half", [random_faces(SIZE, True)]
    )
    assert found.valence_arousal_difference is not None
    assert found.valence_arousal_difference <= TOLERANCE


def test_vectors_and_integers_are_not_converted() -> None:
    weights = {
        "matrix": torch.full((2, 2), 1 / 3),
        "scale": torch.full((4,), 1e-6),
        "scale2d": torch.full((1, 4, 1, 1), 1e-6),
        "count": torch.ones(2, 2, dtype=torch.int64),
    }
    found = halved(weights)
    assert [found[name].dtype for name in weights] == [torch.float16, torch.float32, torch.float32, torch.int64]


def test_weights_out_of_range_are_rejected(tmp_path: Path) -> None:
    network = tiny_network()
    with torch.no_grad():
        next(p for p in network.parameters() if p.ndim == 4)[0, 0, 0, 0] = 1e5
    checkpoint = write_checkpoint(tmp_path / "large.ckpt", network)
    with pytest.raises(UserError, match=r"half=true: the weight backbone\..* has values up to 1\.0e\+05"):
        export(checkpoint, output=tmp_path / "half", half=True, faces=0)
    assert not (tmp_path / "half").exists()


def test_export_with_large_differences_is_rejected(
    forms: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half, "TOLERANCE", 1e-9)
    with pytest.raises(UserError, match=r"half=true changes the predictions .* \(allowed: 1e-09\)"):
        export(forms.checkpoint, output=tmp_path / "half", half=True, faces=0)
    assert not (tmp_path / "half").exists()


def test_half_precision_on_the_command_line(forms: Forms, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for words, code in ((("half=true",), 0), (("half=true", "format=onnx"), 2)):
        with pytest.raises(SystemExit) as stop:
            main(["export", f"checkpoint={forms.checkpoint}", f"output={tmp_path / str(code)}", "faces=0", *words])
        assert stop.value.code == code
    said = capsys.readouterr()
    assert "Weights in half precision against the checkpoint in float32:\n  synthetic faces (16 faces): " in said.out
    assert "half=true needs format=safetensors; with format=onnx, use quantize=int8" in said.err


@pytest.mark.slow
def test_stored_temperature_divides_the_logits_in_every_format(forms: Forms, faces: np.ndarray, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "t.ckpt", tiny_network(), calibration={"temperature": 2.0})
    model = read_model(checkpoint, "cpu")
    batch = torch.from_numpy(faces.transpose(0, 3, 1, 2).copy())
    torch.testing.assert_close(2 * model(batch)["logits"], forms.model(batch)["logits"])
    expected = probabilities(model, faces)
    one, other = (load_model(where, "cpu").classifier for where in (checkpoint, forms.checkpoint))
    assert one.identity() != other.identity()
    np.testing.assert_allclose(one.classify(faces)[0], expected, atol=1e-6)
    folder = export(checkpoint, output=tmp_path / "half", half=True, faces=0).folder
    np.testing.assert_allclose(probabilities(read_model(folder, "cpu"), faces), expected, atol=TOLERANCE)
    onnx = export(checkpoint, "onnx", tmp_path / "onnx", faces=0).folder
    np.testing.assert_allclose(OnnxModel(onnx).predict(faces).probabilities, expected, atol=1e-4)
    assert OnnxModel(onnx).metadata["calibration"] == {"temperature": 2.0}


@pytest.mark.parametrize(
    "stored", [3, {"temperature": 0}, {"temperature": "hot"}, {"uncertain": 1}, {"uncertain": {"threshold": 1.5}}]
)
def test_invalid_temperature_is_rejected(stored: object, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "t.ckpt", tiny_network(), calibration=stored)
    with pytest.raises(UserError, match=r"t\.ckpt cannot be used: Expected `(calibration|temperature|threshold)`"):
        load_model(checkpoint, "cpu")
