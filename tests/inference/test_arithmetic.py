"""Precision of a loaded model: names, the choice of `auto`, and a single conversion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inference.conftest import Forms

from mfer_lightning import load_model
from mfer_lightning.errors import UserError
from mfer_lightning.inference.arithmetic import SPELLINGS, TYPES, check_precision, choose_precision, set_precision
from mfer_lightning.inference.model import read_model, usual_batch

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


def test_auto_is_bfloat16_only_on_gpus_that_support_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert (choose_precision("auto", cpu), choose_precision("auto", cuda)) == ("32-true", "bf16-mixed")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert choose_precision("auto", cuda) == "32-true"
    assert choose_precision("16", cuda) == "16-mixed"


@pytest.mark.parametrize(("said", "name"), [*SPELLINGS.items(), *((name, name) for name in TYPES)])
def test_precision_aliases_map_to_one_name(said: str, name: str) -> None:
    assert check_precision(said) == name


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_only_weights_of_matrix_products_are_converted(forms: Forms, device: str) -> None:
    model = set_precision(read_model(forms.checkpoint, device), "bf16-mixed")
    kinds = {type(m).__name__: m.weight.dtype for m in model.network.modules() if hasattr(m, "weight")}
    assert kinds["Linear"] == torch.bfloat16
    assert all(dtype == torch.float32 for name, dtype in kinds.items() if "Norm" in name)
    assert set_precision(model, "bf16-mixed") is model
    with pytest.raises(UserError, match="was loaded with precision=bf16-mixed, which has rounded its weights"):
        set_precision(model, "32-true")


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_converted_weights_match_autocast(forms: Forms, faces: np.ndarray, device: str) -> None:
    batch = torch.from_numpy(faces.transpose(0, 3, 1, 2).copy()).to(device)
    plain = read_model(forms.checkpoint, device)
    pixels = plain.preprocess(batch).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
        wanted = plain.network(pixels)["logits"].float()
    found = set_precision(read_model(forms.checkpoint, device), "bf16-mixed")(batch)["logits"]
    assert torch.equal(found, wanted) if device == "cpu" else torch.allclose(found, wanted, atol=1e-2)


def test_gpu_uses_larger_batches(forms: Forms) -> None:
    assert load_model(forms.checkpoint, "cpu").batch_size == usual_batch(torch.device("cpu")) == 64
    assert usual_batch(torch.device("cuda")) == 256
    assert load_model(forms.checkpoint, "cpu", batch_size=7).batch_size == 7


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
@pytest.mark.parametrize("form", ["checkpoint", "onnx"])
def test_invalid_batch_size_raises_value_error(forms: Forms, form: str, batch_size: int) -> None:
    with pytest.raises(ValueError, match=rf"`batch_size` to be an integer >= 1, but got {batch_size}"):
        load_model(getattr(forms, form), "cpu", batch_size=batch_size)
