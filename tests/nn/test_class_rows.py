"""Heads of our own weight files are matched to a network's classes by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER, load_weights
from mfer_lightning.nn.weights.class_rows import class_rows, take_class_rows

TINY = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}}
#: As many classes as the network has channels.
THEIRS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


def network(classes: int, head: str) -> MFER:
    return MFER(TINY, classes, attention="none", head=head).eval()


@pytest.mark.parametrize("head", ["multiscale", "linear"])
@pytest.mark.parametrize("ours", [("anger", "neutral", "fear"), tuple(reversed(THEIRS))])
def test_each_class_keeps_its_own_logit(tmp_path: Path, head: str, ours: tuple[str, ...]) -> None:
    source, model = network(len(THEIRS), head), network(len(ours), head)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    rows = class_rows(THEIRS, ours)
    report = load_weights(model, tmp_path / "weights.pth", rows=rows)
    faces = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(faces)["logits"], source(faces)["logits"][:, rows])
    assert not report.new


def test_unknown_class_in_the_file_gives_no_rows() -> None:
    assert class_rows(THEIRS, ("neutral", "boredom")) is None


def test_file_with_too_few_rows_is_rejected(tmp_path: Path) -> None:
    torch.save(network(3, "linear").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"'head.fc.weight' is \(3, 8\), the network's is \(2, 8\)"):
        load_weights(network(2, "linear"), tmp_path / "weights.pth", rows=[7, 0])


def test_non_output_layers_are_unchanged() -> None:
    model = network(8, "multiscale")
    state = model.state_dict()
    taken = take_class_rows(model, state, [1, 0])
    changed = {name for name, tensor in taken.items() if tensor.shape != state[name].shape}
    assert changed == {f"head.heads.{i}.fc2.{part}" for i in range(3) for part in ("weight", "bias")}
