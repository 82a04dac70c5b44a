"""Damaged label files of every dataset give distinct faces with valid labels or one error message."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import further_trees as further
from data import layout_trees as layouts
from data import trees
from fuzzing.campaign import SLOW, Kind, survives
from fuzzing.mutations import Draw, edited_bytes, edited_text, edited_value
from fuzzing.planted import FAULTS, found
from hypothesis import strategies as st

from mfer_lightning.data.datasets.affectnet import AffectNetDataModule
from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.caers import CAERSDataModule
from mfer_lightning.data.datasets.ckplus import CKPlusDataModule
from mfer_lightning.data.datasets.expw import ExpWDataModule
from mfer_lightning.data.datasets.ferplus import FERPlusDataModule
from mfer_lightning.data.datasets.folder import FolderDataModule
from mfer_lightning.data.datasets.jaffe import JAFFEDataModule
from mfer_lightning.data.datasets.rafdb import RAFDBDataModule
from mfer_lightning.data.datasets.rafdb_compound import RAFDBCompoundDataModule
from mfer_lightning.data.datasets.sfew import SFEWDataModule
from mfer_lightning.data.index import FaceIndex

QUICK_EACH = 2
ODD_NAMES = ("é\u0301.png", "a b.jpg", "x\x1b[2J.png", "=1+1.jpg", "99", "\u202e", "x" * 200, "-1.txt")
_TABLE = [f"{i:03d}.png,{name}" for i, name in enumerate(["happiness", "sadness", "anger", "fear"] * 10)]


@dataclass(frozen=True)
class Tree:
    """A small dataset.

    Args:
        write: writes the dataset to a folder.
        module: datamodule that reads it.
        files: patterns of the files to damage.
        separator: separator of the cells in these files.
        corrected: whether there are correction lists.
    """

    write: Callable[[Path], Any]
    module: type[FaceDataModule]
    files: tuple[str, ...]
    separator: str = ","
    corrected: bool = False


def _corrected(root: Path) -> None:
    """Write a table of images with a correction list and a list of faces to exclude."""
    layouts.write_table(root, _TABLE)
    (root / "lists").mkdir()
    (root / "lists" / "relabel.csv").write_text(
        "path,label\n" + "\n".join(f"{i:03d}.png,fear" for i in range(5)) + "\n"
    )
    (root / "lists" / "exclude.txt").write_text("\n".join(f"{i:03d}.png" for i in range(5, 9)) + "\n")


def _affectnet(root: Path, kind: str) -> None:
    write = layouts.write_affectnet_csv if kind == "csv" else layouts.write_affectnet_npy
    write(root, train=48, val=16)


TREES: dict[str, Tree] = {
    "rafdb": Tree(partial(layouts.write_rafdb, annotated=True), RAFDBDataModule, ("**/*.txt",), " "),
    "rafdb folders": Tree(partial(layouts.write_rafdb, layout="classes"), RAFDBDataModule, ()),
    "rafdb_compound": Tree(further.write_rafdb_compound, RAFDBCompoundDataModule, ("**/*.txt",), " "),
    "affectnet csv": Tree(partial(_affectnet, kind="csv"), AffectNetDataModule, ("*.csv",)),
    "affectnet npy": Tree(partial(_affectnet, kind="npy"), AffectNetDataModule, ("**/*.npy",)),
    "ferplus": Tree(trees.write_ferplus, FERPlusDataModule, ("**/label.csv",)),
    "ferplus pair": Tree(trees.write_ferplus_pair, FERPlusDataModule, ("*.csv",)),
    "expw": Tree(partial(further.write_expw, photos=20), ExpWDataModule, ("**/*.lst",), " "),
    "caers boxes": Tree(further.write_caers, CAERSDataModule, ("*.txt",)),
    "caers aligned": Tree(partial(further.write_caers, layout="aligned"), CAERSDataModule, ("**/*.json",)),
    "sfew": Tree(partial(further.write_sfew, layout="align"), SFEWDataModule, ("**/*.json",)),
    "ckplus": Tree(
        partial(further.write_ckplus, subjects=10, sequences=2, frames=3), CKPlusDataModule, ("**/*_emotion.txt",), " "
    ),
    "jaffe": Tree(further.write_jaffe, JAFFEDataModule, ()),
    "folder": Tree(partial(layouts.write_table, rows=_TABLE), FolderDataModule, ("labels.csv",)),
    "folder corrected": Tree(_corrected, FolderDataModule, ("lists/*",), corrected=True),
}


def damage(draw: Draw, root: Path, tree: Tree) -> None:
    """Change one label file, rename a file or folder, or remove, replace or copy a file."""
    files = sorted(f for pattern in tree.files for f in root.glob(pattern))
    if not files or draw(st.integers(0, 4)) == 0:
        _move(draw, root)
        return
    path = files[draw(st.integers(0, len(files) - 1))]
    content = path.read_bytes()
    if path.suffix == ".json" and draw(st.booleans()):
        path.write_text(json.dumps(edited_value(draw, json.loads(content))))
    elif path.suffix in (".json", ".npy"):
        path.write_bytes(edited_bytes(draw, content))
    else:
        path.write_bytes(edited_text(draw, content.decode(), tree.separator))


def _move(draw: Draw, root: Path) -> None:
    everything = sorted(root.rglob("*"))
    path = everything[draw(st.integers(0, len(everything) - 1))]
    what = draw(st.sampled_from(("odd", "upper", "remove", "folder", "link", "number")))
    if what == "odd":
        path.rename(path.with_name(draw(st.sampled_from(ODD_NAMES))))
    elif what == "upper":
        path.rename(path.with_name(f"{path.name.upper()}_"))
    elif path.is_dir():
        return
    elif what == "remove":
        path.unlink()
    elif what == "folder":
        path.unlink()
        path.mkdir()
    elif what == "link":
        path.unlink()
        path.symlink_to(draw(st.sampled_from(("nowhere", ".", path.name, "/dev/null"))))
    else:
        path.with_name(f"{path.stem}_2{path.suffix}").write_bytes(path.read_bytes())


def kind_of(name: str, folder: Path) -> Kind:
    """One dataset as a kind of input."""
    tree = TREES[name]
    tree.write(folder / "data")

    def read(root: Path) -> FaceIndex:
        lists = root / "lists"
        corrected = {"relabel": lists / "relabel.csv", "exclude": lists / "exclude.txt"} if tree.corrected else {}
        module = tree.module(root=root, cache="none", **corrected)
        module.setup("predict")
        return module.index

    return Kind(folder / "data", lambda draw, root: damage(draw, root, tree), read, check, _planted(tree), _other)


def _planted(tree: Tree) -> str:
    return f"{tree.module.__module__}:read_{tree.module.__module__.rpartition('.')[2]}"


def _other(index: FaceIndex) -> FaceIndex:
    index.label[:] = len(index.class_names) + 3
    return index


def check(index: FaceIndex) -> str:
    """Return what is wrong with the faces that were read."""
    if len(index.path) == 0:
        return "no faces and no error"
    if index.votes is None and not ((index.label >= 0) & (index.label < len(index.class_names))).all():
        return f"labels that are not classes: {np.unique(index.label).tolist()}"
    if index.votes is not None and (index.votes < 0).any():
        return "negative votes"
    names = index.path.tolist()
    outside = [name for name in names if name.startswith("/") or ".." in Path(name).parts]
    if outside:
        return f"images outside the folder: {outside[:3]}"
    boxes = [()] * len(names) if index.box is None else map(tuple, index.box.tolist())
    repeated = len(names) - len(set(zip(names, boxes, strict=True)))
    return f"{repeated} faces twice" if repeated else ""


@pytest.mark.parametrize("count", [QUICK_EACH, pytest.param(SLOW, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TREES)
def test_damaged_label_files_are_read_correctly_or_rejected(name: str, tmp_path: Path, count: int) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    survives(kind_of(name, tmp_path / "whole"), tmp_path / "damaged", count)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("rafdb", "ferplus") else pytest.mark.slow)
        for name in TREES
        if " " not in name
    ],
)
@pytest.mark.parametrize("fault", FAULTS)
def test_harness_detects_a_planted_fault(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    assert found(kind_of(name, tmp_path / "whole"), fault, tmp_path / "damaged", monkeypatch)
