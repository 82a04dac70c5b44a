"""A fast model, and photos for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mfer_lightning.inference.classifier import TorchClassifier
from mfer_lightning.inference.model import FERModel
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.nn import MFER, Preprocess

NAMES = ("neutral", "happiness", "anger")


@pytest.fixture(scope="session")
def model() -> Predictor:
    """A random network for three emotions."""
    torch.manual_seed(0)
    backbone = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}}
    network = MFER(backbone, len(NAMES))
    with torch.no_grad():
        for head in network.head.heads:
            head.fc2.weight.mul_(40)
    return Predictor(TorchClassifier(FERModel(network, Preprocess(size=32), NAMES, {"protocol": "facs@native"})))


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """An image file of 48 x 40 pixels."""
    return picture(tmp_path / "face.png", 0)


def picture(path: Path, seed: int, width: int = 48) -> Path:
    """Write noise as an image file."""
    pixels = np.random.default_rng(seed).integers(0, 255, (40, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
