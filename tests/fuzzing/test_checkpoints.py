"""Damaged checkpoints: the model's own numbers, or one sentence."""

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
from hypothesis import strategies as st

#: Of a weight: nothing, another shape, another type, numbers that are none, or no tensor.
ODD_WEIGHTS = (
    *(None, "x", 1.0, [1.0], {}),
    *(torch.zeros(()), torch.zeros(0), torch.zeros(3, 3), torch.zeros(1).expand(1 << 40), torch.eye(3).to_sparse()),
    *(torch.full((8,), float("nan")), torch.zeros(8, dtype=torch.int64), torch.zeros(8, dtype=torch.complex64)),
    *(torch.zeros(8, dtype=torch.float8_e4m3fn), torch.zeros(8, dtype=torch.float64), torch.empty(8, device="meta")),
)


def directory(content: bytes) -> list[range]:
    """Where a zip file says what it holds: the end, and the pickle."""
    pickle = content.find(b"data.pkl")
    return [range(max(0, len(content) - 6_000), len(content)), range(max(0, pickle - 60), pickle + 6_000)]


class Checkpoint:
    """The checkpoint's damages; remembers whether the last one wrote checksums anew."""

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
            torch.save({**self.parts, "state_dict": self._damaged_weights(draw)}, path)

    def _damaged_weights(self, draw: Draw) -> dict[Any, Any]:
        weights = dict(self.parts["state_dict"])
        name = draw(st.sampled_from(sorted(weights)))
        what = draw(st.sampled_from(("odd", "odd", "drop", "rename", "flat", "slice")))
        tensor = weights.pop(name)
        if what == "odd":
            weights[name] = draw(st.sampled_from(ODD_WEIGHTS))
        elif what == "rename":
            weights[draw(st.sampled_from((f"{name}x", "", 1, None, name.removeprefix("network."), "\x1b[2J")))] = tensor
        elif what == "flat":
            weights[name] = tensor.flatten()
        elif what == "slice":
            weights[name] = tensor[:0] if tensor.dim() else tensor[None]
        return weights


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
    """A model one of whose weights is another."""
    with torch.inference_mode():
        next(p for n, p in model.network.named_parameters() if n.endswith("weight")).mul_(1.5)
    return model


@COUNTS
def test_a_damaged_checkpoint_is_read_right_or_refused_in_a_sentence(kind: Kind, tmp_path: Path, count: int) -> None:
    survives(kind, tmp_path, count)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_harness_finds_a_fault_that_was_planted(
    kind: Kind, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(kind, fault, tmp_path, monkeypatch)


def test_the_checkpoint_is_a_zip_file_with_checksums(checkpoint: Path) -> None:
    with zipfile.ZipFile(checkpoint) as archive:
        assert all(member.CRC for member in archive.infolist() if member.file_size)
