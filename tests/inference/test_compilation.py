"""Compilation of a loaded model: when it takes place, how failures are handled, and unchanged predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inference.conftest import Forms

from mfer_lightning import load_model
from mfer_lightning.inference import compilation
from mfer_lightning.inference.compilation import check_compile, compile_model
from mfer_lightning.inference.model import read_model

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


def test_auto_compiles_only_long_gpu_work(forms: Forms, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_model(forms.checkpoint, "cpu")
    monkeypatch.setattr(compilation, "count_gflops", lambda network, size: 20.5)  # MFER-Base
    assert not compile_model(model, "auto", 256, 10**7)
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    assert compilation._pays(model, 500_000)
    assert not compilation._pays(model, 50_000)
    assert not compilation._pays(model, 0), "the number of faces is unknown"


@pytest.mark.parametrize("said", [True, "true", False, "False", "auto"])
def test_compile_option_accepts_all_spellings(said: object) -> None:
    assert check_compile(said) == {"true": True, "false": False}.get(str(said).lower(), "auto")


def test_missing_compiler_leaves_the_model_unchanged(
    forms: Forms, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler found\nstack")

    monkeypatch.setattr(compilation, "try_compiler", fail)
    model = read_model(forms.checkpoint, "cpu")
    assert not compile_model(model, True, 8)
    assert "continuing without it: no compiler found\n" in capsys.readouterr().err
    assert model.full_batch == 0
    assert all(module._compiled_call_impl is None for module in model.network.modules())


def test_block_that_fails_to_compile_falls_back_to_eager(
    forms: Forms, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def compile_badly(self: torch.nn.Module, **options: object) -> None:
        def call(*arguments: object) -> object:
            raise torch._dynamo.exc.TorchDynamoException("no such operator")

        self._compiled_call_impl = call

    wanted, _ = load_model(forms.checkpoint, "cpu").classify(list(faces[:8]))
    monkeypatch.setattr(compilation, "try_compiler", lambda *_, **__: None)
    monkeypatch.setattr(torch.nn.Module, "compile", compile_badly)
    model = load_model(forms.checkpoint, "cpu", batch_size=8, compile=True)
    found, _ = model.classify(list(faces[:8]))
    np.testing.assert_array_equal(found, wanted)
    assert capsys.readouterr().err.count("Warning: torch.compile does not work here") == 1


def test_nearly_full_batches_are_padded_and_cropped(forms: Forms, faces: np.ndarray) -> None:
    model = read_model(forms.checkpoint, "cpu")
    batch = torch.from_numpy(faces.transpose(0, 3, 1, 2).copy())
    sizes: list[int] = []
    model.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    wanted = model(batch[:8])["logits"]
    model.full_batch = 8
    for count in (8, 5, 4, 1):
        found = model(batch[:count])["logits"]
        torch.testing.assert_close(found, wanted[:count], atol=1e-5, rtol=1e-5)
    assert sizes == [8, 8, 8, 4, 1]


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_compiled_model_matches_the_eager_one(
    forms: Forms, faces: np.ndarray, device: str, precision: str, capsys: pytest.CaptureFixture
) -> None:
    crops = list(faces[:13])  # one full batch and a padded one
    plain = load_model(forms.checkpoint, device, batch_size=8, precision=precision)
    quick = load_model(forms.checkpoint, device, batch_size=8, precision=precision, compile=True)
    assert "Compiling" in capsys.readouterr().out
    (wanted, vectors), (found, others) = plain.classify(crops), quick.classify(crops)
    limit = 1e-5 if precision == "32-true" else 1e-2
    np.testing.assert_allclose(found, wanted, atol=limit)
    assert np.abs(others - vectors).max() <= 10 * limit * np.abs(vectors).max()
