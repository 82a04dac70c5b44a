"""What campaigns have found, each as a small fixed case."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from data.layout_trees import write_affectnet_npy
from PIL import Image, features

from mfer_lightning.checkpoints.file_checks import check_class_names
from mfer_lightning.data.datasets.affectnet import AffectNetDataModule
from mfer_lightning.data.images.decode import decode
from mfer_lightning.errors import UserError
from mfer_lightning.inference.media.photos import read_photo
from mfer_lightning.inference.results import UNREADABLE
from mfer_lightning.nn.weights.nearest_backbone import nearest_backbone
from mfer_lightning.onnx.read_faces import read_face


def test_a_description_in_the_place_of_class_names_is_not_quoted_whole() -> None:
    with pytest.raises(UserError, match="its class names are") as refusal:
        check_class_names([{"network": ["x"] * 2_000}], Path("model.ckpt"))
    assert len(str(refusal.value)) < 500


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_a_damaged_avif_picture_is_refused_by_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "face.avif"
    Image.new("RGB", (40, 40), "red").save(path)
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    path.write_bytes(content[:start] + bytes(len(content) - start))
    for reader in (decode, read_face):
        with pytest.raises(UserError, match=r"face\.avif"):
            reader(path)
    assert read_photo(path).status == UNREADABLE


def test_an_annotation_whose_header_is_no_python_is_refused(tmp_path: Path) -> None:
    write_affectnet_npy(tmp_path, train=16, val=8)
    path = tmp_path / "train_set" / "annotations" / "3_exp.npy"
    content = path.read_bytes()
    path.write_bytes(content[:11] + b"{" + content[12:].replace(b"}", b" "))
    with pytest.raises(UserError, match="is not a NumPy file"):
        AffectNetDataModule(root=tmp_path, cache="none").setup("predict")


def test_a_refusal_writes_out_what_moves_a_cursor_and_cuts_off_endless_words() -> None:
    assert str(UserError("x\x1b[2J\x8e.png\nis no picture")) == "x\\x1b[2J\\x8e.png\nis no picture"
    assert len(str(UserError(f"{'ab' * 3_000} is no emotion"))) < 250


def test_the_backbone_that_fits_is_found_in_no_time_after_the_first_file() -> None:
    nearest_backbone({"x": torch.zeros(1)})
    started = time.process_time()
    nearest_backbone({"x": torch.zeros(1)})
    assert time.process_time() - started < 0.5
