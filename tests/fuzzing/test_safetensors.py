"""Damaged exports in the Hugging Face layout give the correct numbers or one error message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzzing.campaign import COUNTS, Kind, survives
from fuzzing.models import Said, ask, faces
from fuzzing.mutations import Draw, edited_bytes, edited_value
from fuzzing.planted import FAULTS, found
from hypothesis import strategies as st


def damage(draw: Draw, folder: Path) -> None:
    """Change the bytes or header of the weights, or the bytes or values of the description, or remove a file."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    content = weights.read_bytes()
    length = int.from_bytes(content[:8], "little")
    what = draw(st.sampled_from(("weights", "weights", "header", "config", "values", "values", "missing")))
    if what == "weights":
        weights.write_bytes(edited_bytes(draw, content, [range(8 + length)]))
    elif what == "header":
        head = json.dumps(edited_value(draw, json.loads(content[8 : 8 + length]))).encode()
        weights.write_bytes(len(head).to_bytes(8, "little") + head + content[8 + length :])
        _without_digest(config)
    elif what == "config":
        config.write_bytes(edited_bytes(draw, config.read_bytes()))
    elif what == "values":
        config.write_text(json.dumps(edited_value(draw, json.loads(config.read_text()))))
    else:
        draw(st.sampled_from((weights, config, folder / "README.md"))).unlink()


def _without_digest(config: Path) -> None:
    """Remove the checksum, as in exports of earlier versions, so that only the header parser can reject the file."""
    values = json.loads(config.read_text())
    config.write_text(json.dumps({k: v for k, v in values.items() if k != "sha256"}))


def tensors(said: Said) -> dict[str, torch.Tensor]:
    """Return the weights of a model."""
    return {name: value.clone() for name, value in said.model.classifier.model.network.state_dict().items()}


@pytest.fixture(scope="module")
def kind(safetensors: Path) -> Kind:
    whole = tensors(ask(safetensors))

    def check(said: Said) -> str:
        if said.p.shape != (2, len(said.names)):
            return f"{said.p.shape} probabilities of {len(said.names)} classes"
        if not all(torch.equal(found, whole[name]) for name, found in tensors(said).items()):
            return "changed weights without an error"
        return ""

    return Kind(safetensors, damage, ask, check, planted="mfer_lightning.inference.load:read_model", spoil=_other)


def _other(model: Any) -> Any:
    with torch.inference_mode():
        next(model.network.parameters()).add_(1)
    return model


@COUNTS
def test_damaged_export_is_read_correctly_or_rejected(kind: Kind, tmp_path: Path, count: int) -> None:
    survives(kind, tmp_path, count)


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=pytest.mark.slow if fault == "numbers" else []) for fault in FAULTS]
)
def test_harness_detects_a_planted_fault(
    kind: Kind, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(kind, fault, tmp_path, monkeypatch)


def test_two_faces_have_different_probabilities() -> None:
    first, second = faces()
    assert (first != second).any()
