"""``weights=imagenet`` without a network connection is rejected before any work and leaves no files."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands.conftest import FEW, Mfer
from huggingface_hub import constants

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.nn.weights import download


def test_unreachable_hub_is_reported_before_data_are_read(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(download, "reachable", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(FaceDataModule, "setup", lambda *_: pytest.fail("the data are read"))
    command = ("backbone=resnet18", "backbone.options={}", "attention=none", "weights=imagenet")
    few = [o for o in FEW if not o.startswith(("backbone.options", "attention."))]
    assert mfer(*few, *command) == 2
    said = capsys.readouterr().err
    assert "timm's weights for 'resnet18' could not be loaded" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()
