"""Undamaged inputs for the campaigns, each created once with a tiny network."""

from __future__ import annotations

from pathlib import Path

import pytest
from inference.conftest import tiny_network, write_checkpoint

from mfer_lightning.inference.model import read_model

# The harness measures memory and watches files through Linux interfaces.
collect_ignore_glob = [] if Path("/proc/self/status").exists() else ["test_*.py"]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a tiny network."""
    return write_checkpoint(tmp_path_factory.mktemp("fuzzing") / "model.ckpt", tiny_network())


@pytest.fixture(scope="session")
def safetensors(checkpoint: Path) -> Path:
    """The export of the checkpoint in the Hugging Face layout."""
    return Path(read_model(checkpoint, "cpu").save_pretrained(checkpoint.parent / "safetensors"))


@pytest.fixture(scope="session")
def onnx_export(checkpoint: Path) -> Path:
    """The ONNX export of the checkpoint."""
    pytest.importorskip("onnxscript")
    from mfer_lightning.inference.export.onnx_file import save_onnx
    from mfer_lightning.inference.export.parity import random_faces

    save_onnx(read_model(checkpoint, "cpu"), checkpoint.parent / "onnx", [random_faces(64, True)], size=64)
    return checkpoint.parent / "onnx"
