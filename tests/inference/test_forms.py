"""A model gives the same probabilities in all formats, on the command line and from Python."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from inference.conftest import Forms
from PIL import Image

from mfer_lightning import load_model
from mfer_lightning.cli import main
from mfer_lightning.errors import UserError
from mfer_lightning.inference.dataset import open_dataset
from mfer_lightning.inference.model import FERModel
from mfer_lightning.onnx import OnnxModel


def test_command_line_python_safetensors_and_onnx_give_the_same_probabilities(
    forms: Forms, faces: np.ndarray, tmp_path: Path
) -> None:
    some = faces[:12]
    (tmp_path / "faces").mkdir()
    for i, face in enumerate(some):
        Image.fromarray(face).save(tmp_path / "faces" / f"{i:02}.png")
    paths = sorted((tmp_path / "faces").iterdir())
    batch = torch.from_numpy(some.transpose(0, 3, 1, 2).copy())
    expected = forms.model(batch)["logits"].double().softmax(1).numpy()
    assert np.ptp(expected, axis=0).max() > 0.05, "the faces must differ"

    found = {"without torch": OnnxModel(forms.onnx).predict(paths).probabilities}
    own = FERModel.from_pretrained(forms.safetensors, "cpu")
    found["from_pretrained"] = own(batch)["logits"].double().softmax(1).numpy()
    for name, where in {"checkpoint": forms.checkpoint, "safetensors": forms.safetensors, "onnx": forms.onnx}.items():
        said = load_model(where, "cpu").predict(paths, aligned=True)
        found[f"python, {name}"] = np.array([list(face.probabilities.values()) for face in said.faces])
        options = (f"source={tmp_path / 'faces'}", "aligned=true", "device=cpu", f"output={tmp_path / name}")
        with pytest.raises(SystemExit) as stop:
            main(["predict", f"checkpoint={where}", *options])
        assert not stop.value.code
        with (tmp_path / name / "predictions.csv").open() as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["path"])
        found[f"command line, {name}"] = np.array(
            [[float(row[f"p_{n}"]) for n in forms.model.class_names] for row in rows]
        )
    for name, probabilities in found.items():
        np.testing.assert_allclose(probabilities, expected, atol=1e-4, err_msg=name)


def test_file_inside_an_export_is_treated_as_the_export(forms: Forms, tmp_path: Path) -> None:
    whole = load_model(forms.safetensors, "cpu").classifier.identity()
    for name in ("model.safetensors", "config.json"):
        assert load_model(forms.safetensors / name, "cpu").classifier.identity() == whole
    (tmp_path / "lonely.safetensors").write_bytes((forms.safetensors / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="Give the folder written by mfer export"):
        load_model(tmp_path / "lonely.safetensors", "cpu")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_class_name_that_looks_like_a_formula_is_rejected(name: str, forms: Forms, tmp_path: Path) -> None:
    stored = torch.load(forms.checkpoint, weights_only=True)
    stored["mfer"]["class_names"] = [name, "fear", "anger"]
    torch.save(stored, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match="must not start like a spreadsheet formula"):
        load_model(tmp_path / "x.ckpt", "cpu")


def test_bfloat16_is_close_and_has_its_own_identity(forms: Forms, faces: np.ndarray) -> None:
    exact, quick = (load_model(forms.checkpoint, "cpu", precision=p) for p in ("32-true", "bf16-mixed"))
    batch = torch.from_numpy(faces.transpose(0, 3, 1, 2).copy())
    expected, found = (predictor.classifier.model(batch)["logits"] for predictor in (exact, quick))
    assert found.dtype == torch.float32
    difference = float((found - expected).abs().max() / expected.abs().max())
    assert 0 < difference < 0.02, "bfloat16 has 8 binary digits"
    assert quick.classifier.identity() != exact.classifier.identity(), "one folder must not hold predictions of both"


def test_unsupported_precision_is_rejected(forms: Forms) -> None:
    with pytest.raises(UserError, match=r"precision=half: legal: auto, 32-true, bf16-mixed, 16-mixed"):
        load_model(forms.checkpoint, "cpu", precision="half")
    for kind in (None, torch.bfloat16):  # a mistake that is easily made from Python
        with pytest.raises(UserError, match=r"precision=.*(bf16-mixed|bfloat16)"):
            load_model(forms.checkpoint, "cpu", precision=kind)  # type: ignore[arg-type]
    with pytest.raises(
        UserError,
        match=r"precision=bf16-true: norms, softmax and sums are always computed in "
        r"float32 here. Use",
    ):
        load_model(forms.checkpoint, "cpu", precision="bf16-true")
    words = r"precision=16-mixed needs a GPU\. On the CPU, use bf16-mixed, 32-true or auto"
    with pytest.raises(UserError, match=words):
        load_model(forms.checkpoint, "cpu", precision="16-mixed")
    with pytest.raises(UserError, match="precision=bfloat16: the precision of an ONNX file is fixed"):
        load_model(forms.onnx, "cpu", precision="bfloat16")
    with pytest.raises(UserError, match="compile=true: ONNX files are run by ONNX Runtime, without compilation"):
        load_model(forms.onnx, "cpu", compile=True)
    with pytest.raises(UserError, match="compile=whole: the value must be true, false or auto"):
        load_model(forms.checkpoint, "cpu", compile="whole")


def test_dataset_of_a_checkpoint_builds_no_augmentation(tmp_path: Path) -> None:
    target = "mfer_lightning.data.datasets.FacsDataModule"
    node = {"_target_": target, "root": "", "train_size": 8, "val_size": 8, "test_size": 8, "size": 32}
    for augment in ({"transforms": [{"name": "ToGray"}]}, {"x": {"_target_": "albumentations.ToGray"}}, "strong"):
        loader = {"eval_batch_size": 8, "num_workers": 0}
        assert open_dataset({**node, "augment": augment}, loader, str(tmp_path)).augment is None
