"""A registry of small models with random weights, in its own folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mfer_lightning.bundled import registry
from mfer_lightning.files import digests, write_json
from mfer_lightning.inference.model import build_model
from mfer_lightning.nn import MFER, Preprocess

NAMES = ("anger", "fear", "happiness")
TINY = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}
RESULT = {
    "dataset": "ferplus",
    "protocol": "ferplus@majority",
    "split": "val",
    "n": 1000,
    "metrics": {"accuracy": 0.88},
    "per_class": {},
}


def write_model(folder: Path, seed: int, **more: Any) -> Path:
    """Write an export of a network with random weights."""
    torch.manual_seed(seed)
    network = MFER(TINY, len(NAMES), attention={"name": "ds", "kernel_size": 3})
    described: dict[str, Any] = {
        "format": 1,
        "class_names": list(NAMES),
        "network": network.config,
        "preprocess": Preprocess(size=32, mean="half", std="half").to_config(),
        "dataset": "ferplus",
        "protocol": "ferplus@majority",
        "config": {
            "seed": seed,
            "loss": {"name": "ce"},
            "dataset": {"name": "ferplus", "size": 48},
            "backbone": {**TINY, "stem": "default", "drop_path_rate": 0.0},
            "attention": {"name": "ds", "kernel_size": 3},
            "head": {"name": "multiscale"},
            "preprocess": {"size": 32, "mean": "half", "std": "half"},
        },
        "flip": False,
        "results": [RESULT],
        **more,
    }
    return build_model(described, network.state_dict(), folder).save_pretrained(folder)


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without bundled models."""
    folder = tmp_path / "none"
    folder.mkdir()
    write_json(folder / registry.INDEX, {"default": None, "models": {}})
    monkeypatch.setattr(registry, "FOLDER", folder)
    return folder


@pytest.fixture(scope="session")
def _undamaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, one of them in two versions, written once; each test gets a copy that it may damage."""
    folder = tmp_path_factory.mktemp("bundled")
    models = {}
    for seed, name in enumerate(("small-v1", "large-v1", "large-v2")):
        write_model(folder / name, seed)
        models[name] = digests(folder / name, ("config.json", "model.safetensors", "README.md"))
    (folder / registry.INDEX).write_text(json.dumps({"default": "large", "models": models}))
    return folder


@pytest.fixture
def bundled(_undamaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with two models, one of them in two versions."""
    folder = shutil.copytree(_undamaged, tmp_path / "bundled")
    monkeypatch.setattr(registry, "FOLDER", folder)
    return folder
