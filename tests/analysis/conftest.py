"""Tiny networks, one of each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn import MFER, Preprocess

NAMES = ("anger", "fear", "happiness")
FAMILIES: dict[str, dict[str, Any]] = {
    "convnext": {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 16, 32]}},
    "resnet": {"name": "resnet18", "options": {"channels": [8, 8, 16, 16]}},
    "swin": {
        "name": "swin_tiny_patch4_window7_224",
        "options": {
            "depths": [1, 1, 1, 1],
            "embed_dim": 16,
            "num_heads": [1, 1, 2, 2],
            "img_size": 64,
            "window_size": 2,
        },
    },
}


def build(family: str, attention: Any = "ds") -> FERModel:
    """An untrained model of a family on faces of 64 pixels."""
    torch.manual_seed(0)
    network = MFER(FAMILIES[family], len(NAMES), attention=attention).requires_grad_(False)
    return FERModel(network, Preprocess(size=64, mean="half", std="half"), NAMES)


def model_of(class_names: Sequence[str], metadata: Mapping[str, Any], source: Path | None = None) -> FERModel:
    """An untrained model of any classes, with the metadata of a checkpoint."""
    network = MFER({"name": "resnet18", "options": {"channels": [4, 4, 4, 4]}}, len(class_names), attention="none")
    return FERModel(network, Preprocess(size=32), tuple(class_names), metadata, source)


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, 48, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
