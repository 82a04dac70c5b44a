"""A tiny network with random weights, saved like a run, and photos made from scikit-image's portrait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mfer_lightning.cli import main
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.inference.load import load_model
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.nn import MFER, Preprocess

TINY = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 16, 32]}}

#: The alignment of `mfer align detector.min_face=48 refine=0`: fast on small images.
ALIGNMENT = {
    "origin": "alignment.json",
    "note": "",
    "size": 48,
    "template": "face-evolve-112@1",
    "height": 112,
    "margin": 0.0,
    "border": "black",
    "refine": 0,
    "detector": {"name": "mtcnn", "min_face": 48},
}


def save_run(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a checkpoint with random weights and spread-out probabilities."""
    torch.manual_seed(seed)
    network = MFER(TINY, len(EMOTIONS))
    with torch.no_grad():  # random heads predict nearly the same for every face: amplify the differences
        for parameter in network.head.parameters():
            parameter.mul_(3.0)
    described = {
        "format": 1,
        "class_names": list(EMOTIONS),
        "network": network.config,
        "preprocess": Preprocess(size=48, mean="half", std="half").to_config(),
        "dataset": "folder",
        "protocol": "folder@native",
        "alignment": ALIGNMENT,
        **changes,
    }
    path = folder / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    weights = {f"network.{k}": v for k, v in network.state_dict().items()}
    torch.save({"state_dict": weights, "mfer": described}, path)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    return save_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def model(run: Path) -> Predictor:
    """The run's model."""
    return load_model(run, device="cpu")


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """A quarter of scikit-image's portrait: (256,256,3) RGB with one face at about x 79, y 60, 89 x 113."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[:256, 100:356])


@pytest.fixture
def mfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line in its own folder and return its exit code."""
    monkeypatch.chdir(tmp_path)

    def run_it(*arguments: object) -> int:
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        return int(stop.value.code or 0)

    return run_it


def write(path: Path, image: np.ndarray) -> Path:
    """Write an RGB picture in the format given by its file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    return path
