"""One changed bit in the weights is rejected, in every format of a model."""

from __future__ import annotations

import os
import random
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from inference.conftest import Forms

from mfer_lightning import load_model
from mfer_lightning.callbacks import AtomicCheckpointIO
from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.nn.weights.read import read_state
from mfer_lightning.onnx import OnnxModel

FLIPS = 40


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def flip(path: Path, position: int, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))


def storages(path: Path) -> list[range]:
    """Return the byte ranges of the weights in a file written by ``torch.save``."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        found = []
        for member in archive.infolist():
            if "/data/" in member.filename and member.file_size:
                file.seek(member.header_offset + 26)
                name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
                start = member.header_offset + 30 + name + extra
                found.append(range(start, start + member.file_size))
        return found


def initializers(path: Path) -> list[range]:
    """Return the byte ranges of the weights in an ONNX file."""
    onnx = pytest.importorskip("onnx")
    content = path.read_bytes()
    raws = [i.raw_data for i in onnx.load(str(path)).graph.initializer if len(i.raw_data) >= 64]
    return [range(content.index(raw), content.index(raw) + len(raw)) for raw in raws]


def places(path: Path) -> list[range]:
    if path.suffix == ".safetensors":
        return [range(8 + int.from_bytes(path.read_bytes()[:8], "little"), path.stat().st_size)]
    return initializers(path) if path.suffix == ".onnx" else storages(path)


@pytest.mark.parametrize("form", ["checkpoint", "safetensors", "onnx"])
def test_forty_of_forty_flipped_bits_are_rejected(forms: Forms, tmp_path: Path, form: str) -> None:
    source: Path = getattr(forms, form)
    copy = tmp_path / source.name
    shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    file = {"checkpoint": copy, "safetensors": copy / "model.safetensors", "onnx": copy / "model.onnx"}[form]
    whole, where = file.read_bytes(), [at for part in places(file) for at in part]
    assert len(where) > 10_000
    drawn = random.Random(0)
    load_model(copy, "cpu")
    for _ in range(FLIPS):
        flip(file, drawn.choice(where), drawn.randrange(8))
        with pytest.raises(UserError, match=r"damaged|not finite"):
            load_model(copy, "cpu")
        file.write_bytes(whole)
    load_model(copy, "cpu")


@pytest.mark.parametrize("form", ["checkpoint", "safetensors", "onnx"])
def test_modified_weight_loads_without_verification(forms: Forms, tmp_path: Path, form: str) -> None:
    source: Path = getattr(forms, form)
    copy = tmp_path / source.name
    shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    file = {"checkpoint": copy, "safetensors": copy / "model.safetensors", "onnx": copy / "model.onnx"}[form]
    flip(file, places(file)[0][0], 0)
    with pytest.raises(UserError, match="damaged"):
        load_model(copy, "cpu")
    assert load_model(copy, "cpu", verify=False).class_names == forms.model.class_names


def test_modified_onnx_graph_or_description_is_rejected(forms: Forms, tmp_path: Path) -> None:
    copy = Path(shutil.copy(forms.onnx / "model.onnx", tmp_path / "model.onnx"))
    whole = copy.read_bytes()
    at = whole.index(b'"fear"')
    copy.write_bytes(whole[: at + 1] + b"dear" + whole[at + 5 :])
    with pytest.raises(UserError, match="a checksum differs"):
        OnnxModel(copy)


def test_optimizer_state_is_not_verified(forms: Forms, tmp_path: Path) -> None:
    """Loading a model verifies only the weights of the network, to save time."""
    content = torch.load(forms.checkpoint, weights_only=True)
    content["optimizer_states"] = [{"exp_avg": torch.arange(1000.0)}]
    path = tmp_path / "with_state.ckpt"
    torch.save(content, path)
    at = path.read_bytes().index(np.arange(1000, dtype=np.float32).tobytes())
    flip(path, at + 100, 3)
    read_model(path, "cpu")
    with pytest.raises(UserError, match="its tensors do not match the checksums in the file"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=True)  # resuming a run reads everything


def test_initial_weights_are_verified_too(forms: Forms, tmp_path: Path) -> None:
    path = Path(shutil.copy(forms.checkpoint, tmp_path / "a.ckpt"))
    weights = tmp_path / "weights.pth"
    torch.save(torch.load(path, weights_only=True)["state_dict"], weights)
    read_state(weights)
    flip(weights, storages(weights)[3][0], 1)
    with pytest.raises(UserError, match="its tensors do not match the checksums in the file"):
        read_state(weights)


def check_permissions(safetensors: Path, onnx: Path, mask: int) -> None:
    files = [f for folder in (safetensors, onnx) for f in folder.rglob("*") if f.is_file()]
    assert len(files) == 6
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o666 & ~mask}
    assert {stat.S_IMODE(d.stat().st_mode) for d in (safetensors, onnx)} == {0o777 & ~mask}


def test_exports_respect_the_umask(forms: Forms) -> None:
    os.umask(mask := os.umask(0))
    check_permissions(forms.safetensors, forms.onnx, mask)


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_exports_respect_any_umask(forms: Forms, tmp_path: Path, mask: int) -> None:
    from mfer_lightning.inference.export.onnx_file import save_onnx
    from mfer_lightning.inference.export.parity import random_faces

    with umask(mask):
        forms.model.save_pretrained(tmp_path / "st")
        save_onnx(forms.model, tmp_path / "onnx", [random_faces(64, True)], size=64)
    check_permissions(tmp_path / "st", tmp_path / "onnx", mask)


def test_exports_of_earlier_versions_load_without_checksum(forms: Forms, tmp_path: Path) -> None:
    import json

    copy = Path(shutil.copytree(forms.safetensors, tmp_path / "st"))
    config = json.loads((copy / "config.json").read_text())
    assert set(config.pop("sha256")) == {"model.safetensors"}
    (copy / "config.json").write_text(json.dumps(config))
    assert FERModel.from_pretrained(copy, "cpu").class_names == forms.model.class_names


def test_damaged_onnx_file_prints_nothing(forms: Forms, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime prints its own messages when it cannot load a file; ours already contains the reason."""
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(str(forms.onnx / "model.onnx"))
    proto.graph.node[0].op_type = "NoSuchOperator"
    path = tmp_path / "model.onnx"
    onnx.save(proto, str(path))
    with pytest.raises(UserError, match="cannot be loaded by ONNX Runtime"):
        OnnxModel(path, verify=False)
    assert capfd.readouterr() == ("", "")
