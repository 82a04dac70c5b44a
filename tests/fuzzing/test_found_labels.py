"""Regression tests for faults in the readers of label files, found by campaigns."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from data.further_trees import write_caers, write_expw
from data.layout_trees import write_affectnet_csv, write_affectnet_npy
from PIL import Image

from mfer_lightning.data.datasets.affectnet import AffectNetDataModule
from mfer_lightning.data.datasets.caers import CAERSDataModule
from mfer_lightning.data.datasets.expw import ExpWDataModule
from mfer_lightning.data.datasets.folder import FolderDataModule
from mfer_lightning.data.labels.affectnet_csv import _box
from mfer_lightning.data.labels.numbers import whole_number
from mfer_lightning.data.labels.table_head import malformed
from mfer_lightning.errors import UserError


@pytest.mark.parametrize("text", ["9" * 19, "-" + "9" * 19, "9" * 5_000, "9" * 19 + ".0", "+-3"])
def test_malformed_or_huge_integer_is_not_a_number(text: str) -> None:
    assert whole_number(text) is None


def test_largest_accepted_integer_fits_into_64_bits() -> None:
    number = whole_number("9" * 18)
    assert number is not None
    assert int(np.array([number], dtype=np.int64)[0]) == number


def test_message_on_a_malformed_row_quotes_only_a_part_of_a_long_value() -> None:
    assert len(str(malformed(Path("list.txt"), 1, "a label from 1 to 11", "x" * 5_000))) < 300


def test_npy_annotation_with_an_invalid_code_point_is_rejected(tmp_path: Path) -> None:
    write_affectnet_npy(tmp_path, train=16, val=8)
    buffer = io.BytesIO()
    np.save(buffer, np.array("3"))
    (tmp_path / "train_set" / "annotations" / "3_exp.npy").write_bytes(buffer.getvalue()[:-4] + b"\xff\xff\xff\x7f")
    with pytest.raises(UserError, match="is not a NumPy file"):
        AffectNetDataModule(root=tmp_path, cache="none").setup("predict")


def test_alignment_with_an_infinite_size_is_rejected(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("anger", "fear"):
            write_faces(tmp_path / split / name)
    (tmp_path / "alignment.json").write_text('{"height": Infinity, "template": "ferplus-48"}')
    with pytest.raises(UserError, match=r"alignment\.json is damaged"):
        FolderDataModule(root=tmp_path, cache="none").setup("predict")


@pytest.mark.parametrize("huge", ["9" * 30, "-" + "9" * 30, "1e19"])
def test_huge_face_box_in_a_table_is_rejected_with_its_line(tmp_path: Path, huge: str) -> None:
    write_affectnet_csv(tmp_path / "affectnet", train=16, val=8)
    write_caers(tmp_path / "caers", train=7, test=7)
    write_expw(tmp_path / "expw", photos=8)
    for module, file, separator, column in (
        (AffectNetDataModule, "affectnet/training.csv", ",", 1),
        (CAERSDataModule, "caers/test.txt", ",", 4),
        (ExpWDataModule, "expw/label/label.lst", " ", 4),
    ):
        path = tmp_path / file
        lines = path.read_text().split("\n")
        cells = lines[2].split(separator)
        lines[2] = separator.join([*cells[:column], huge, *cells[column + 1 :]])
        path.write_text("\n".join(lines))
        with pytest.raises(UserError, match=rf"{path.name}, line 3: expected a face box in pixels .* up to 1000000"):
            module(root=tmp_path / file.partition("/")[0], cache="none").setup("predict")


@pytest.mark.parametrize("side", ["1e30", "-1e30", "1e400", "1000001"])
def test_huge_face_box_is_rejected(side: str) -> None:
    table = SimpleNamespace(refuse=lambda _, expected, got: UserError(f"expected {expected}, but got {got}"))
    with pytest.raises(UserError, match="a face box in pixels"):
        _box(["1", side, "10", "10"], table, 0)  # type: ignore[arg-type]


def write_faces(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(12):
        Image.effect_noise((48, 48), 90).convert("RGB").save(folder / f"{number}.png")
