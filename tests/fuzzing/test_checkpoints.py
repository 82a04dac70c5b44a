"""Damaged checkpoints give the correct numbers or one error message."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzzing.campaign import COUNTS, Kind, survives
from fuzzing.models import ask, same_as
from fuzzing.mutations import Draw, edited_bytes, edited_value, edited_zip
from fuzzing.planted import FAULTS, found
from fuzzing.tensors import damaged_weights, directory
from hypothesis import strategies as st


class Checkpoint:
    """Damage a checkpoint; remember whether the last damage left the original checksums in place."""

    def __init__(self, source: Path) -> None:
        self.content = source.read_bytes()
        self.parts: dict[str, Any] = torch.load(source, weights_only=True)
        self.kept = True

    def damage(self, draw: Draw, path: Path) -> None:
        what = draw(st.sampled_from(("bytes", "bytes", "zip", "description", "weights")))
        self.kept = what == "bytes"
        if what == "bytes":
            path.write_bytes(edited_bytes(draw, self.content, directory(self.content)))
        elif what == "zip":
            path.write_bytes(edited_zip(draw, self.content))
        elif what == "description":
            rest = {name: part for name, part in self.parts.items() if name != "state_dict"}
            edited = edited_value(draw, rest)
            whole = {**edited, "state_dict": self.parts["state_dict"]} if isinstance(edited, dict) else edited
            torch.save(whole, path)
        else:
            torch.save({**self.parts, "state_dict": damaged_weights(draw, self.parts["state_dict"])}, path)


@pytest.fixture(scope="module")
def kind(checkpoint: Path) -> Kind:
    damages = Checkpoint(checkpoint)
    return Kind(
        checkpoint,
        damages.damage,
        ask,
        same_as(ask(checkpoint), lambda: damages.kept),
        planted="mfer_lightning.inference.load:read_model",
        spoil=other_numbers,
    )


def other_numbers(model: Any) -> Any:
    """Return the model with one changed weight."""
    with torch.inference_mode():
        next(p for n, p in model.network.named_parameters() if n.endswith("weight")).mul_(1.5)
    return model


@COUNTS
def test_damaged_checkpoint_is_read_correctly_or_rejected(kind: Kind, tmp_path: Path, count: int) -> None:
    survives(kind, tmp_path, count)


@pytest.mark.parametrize("fault", FAULTS)
def test_harness_detects_a_planted_fault(
    kind: Kind, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(kind, fault, tmp_path, monkeypatch)


def test_checkpoint_is_a_zip_file_with_checksums(checkpoint: Path) -> None:
    with zipfile.ZipFile(checkpoint) as archive:
        assert all(member.CRC for member in archive.infolist() if member.file_size)
