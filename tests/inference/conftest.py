"""A tiny untrained model in all formats, created once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.nn import MFER, Preprocess

NAMES = ("anger", "fear", "happiness")
TINY = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 16, 32]}}
SIZE = 64


@dataclass(frozen=True)
class Forms:
    """One model: the checkpoint, and its exports."""

    checkpoint: Path
    model: FERModel
    safetensors: Path
    onnx: Path


def describe(own: MFER, **changes: Any) -> dict[str, Any]:
    """The `mfer` entry of a checkpoint."""
    return {
        "format": 1,
        "class_names": list(NAMES),
        "network": own.config,
        "preprocess": Preprocess(size=SIZE, mean="half", std="half").to_config(),
        "dataset": "facs",
        "protocol": "facs@native",
        "config": {"seed": 3, "loss": {"name": "ce"}, "paths": {"data": "data"}},
        "flip": False,
        **changes,
    }


def write_checkpoint(path: Path, own: MFER, **changes: Any) -> Path:
    """A checkpoint as written by training."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {f"network.{k}": v for k, v in own.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 4, "mfer": describe(own, **changes)}, path)
    return path


def tiny_network() -> MFER:
    """A network whose outputs differ between faces; its weights are the same for all torch and timm versions."""
    torch.manual_seed(0)
    network = MFER(TINY, len(NAMES), attention={"name": "ds", "kernel_size": 3})
    generator = np.random.default_rng(1)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.dim() > 1:  # the initial spread, but numbers that do not depend on how a library draws them
                numbers = torch.from_numpy(generator.standard_normal(weight.shape))
                weight.copy_(numbers * weight.std(correction=0))
            if name.startswith("head") and name.endswith("weight"):
                weight.mul_(4)
    return network


@pytest.fixture(scope="session")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Forms:
    from mfer_lightning.inference.export.onnx_file import save_onnx
    from mfer_lightning.inference.export.parity import random_faces

    folder = tmp_path_factory.mktemp("forms")
    checkpoint = write_checkpoint(folder / "model.ckpt", tiny_network())
    model = read_model(checkpoint, "cpu")
    model.save_pretrained(folder / "safetensors")
    save_onnx(model, folder / "onnx", [random_faces(SIZE, True)], size=SIZE)
    return Forms(checkpoint, model, folder / "safetensors", folder / "onnx")


@pytest.fixture(scope="session")
def faces() -> np.ndarray:
    """(70,48,48,3) uint8: smooth like photos."""
    generator = np.random.default_rng(1)
    coarse = torch.from_numpy(generator.integers(0, 256, (70, 3, 6, 6)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (48, 48), mode="bicubic").clamp(0, 255).round()
    return smooth.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
