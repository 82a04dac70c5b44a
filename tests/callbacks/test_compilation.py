"""When training compiles its network, how an invalid mode is rejected, and where compiled code is cached."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mfer_lightning.callbacks import CompileNetwork
from mfer_lightning.callbacks.compilation import pays_to_compile, use_lasting_cache
from mfer_lightning.nn import MFER, Preprocess


def training(device: str, steps: int, batch: int = 256) -> tuple[SimpleNamespace, SimpleNamespace]:
    """A minimal trainer, and a module with a tiny network; the test sets its GFLOPs to those of MFER-Base."""
    trainer = SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device(device)),
        estimated_stepping_batches=steps,
        accumulate_grad_batches=1,
        datamodule=SimpleNamespace(batch_size=batch),
    )
    network = MFER({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}, 2)
    return trainer, SimpleNamespace(network=network, preprocess=Preprocess(size=32))


def test_auto_mode_compiles_only_long_gpu_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfer_lightning.callbacks.compilation.count_gflops", lambda network, size: 20.5)
    rafdb = 12_271 * 120 // 256
    assert pays_to_compile(*training("cuda", rafdb))
    assert not pays_to_compile(*training("cuda", rafdb // 10))
    assert not pays_to_compile(*training("cpu", rafdb))
    assert pays_to_compile(*training("cuda", float("inf")))  # limited by time


def test_invalid_mode_raises_value_error() -> None:
    with pytest.raises(ValueError, match="Expected argument `mode` to be 'auto', 'blocks' or 'whole', but got 'all'"):
        CompileNetwork("all")


def test_compiled_code_is_cached_in_the_cache_folder_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    use_lasting_cache()
    import os

    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "elsewhere"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setenv("MFER_CACHE", str(tmp_path))
    use_lasting_cache()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")
