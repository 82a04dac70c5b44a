"""A dataset of another package: one self-declaring class works like the built-in datasets."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from data.layout_trees import write_class_folders

from mfer_lightning.data.datasets import FaceDataModule, FERPlusDataModule, registry
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import find_dataset, get_protocol, known_datasets
from mfer_lightning.data.doctor import examine
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.protocols import BEST_ON_TEST, Expected, Protocol
from mfer_lightning.errors import UserError
from mfer_lightning.inference.export.card import licence_note

MODULE = '''
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import missing_dataset
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.protocols import BEST_ON_TEST, Expected, Protocol

CLASSES = ("anger", "boredom", "happiness")
COUNTS = (Expected("train", "label", (20, 10, 30)), Expected("test", "label", 12))


class MyDataModule(FaceDataModule):
    """Faces of my lab."""

    info = DatasetInfo(
        name="mylab",
        title="My faces",
        paper="in preparation",
        licence="Ask me.",
        access="ask me.",
        class_names=CLASSES,
        layouts=(Layout("numbered", "a file faces.txt"),),
        marks=("faces.txt",),
        protocols=(
            Protocol("mylab@native", CLASSES, expected=COUNTS),
            Protocol("mylab@paper", CLASSES, BEST_ON_TEST, val="test", expected=COUNTS),
        ),
    )

    def read(self):
        if not (self.root / "faces.txt").is_file():
            raise missing_dataset(self.info, self.root)
        lines = (self.root / "faces.txt").read_text().split()
        rows = [(path, path.split("/")[0], CLASSES.index(path.split("/")[1])) for path in lines]
        return FaceIndex.from_rows(
            rows, dataset="mylab", layout="numbered", root=self.root, class_names=CLASSES
        )
'''


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """An imported separate package, removed from the registry afterwards."""
    monkeypatch.setattr(registry, "_DATASETS", dict(registry._DATASETS))
    module = types.ModuleType("my_lab")
    monkeypatch.setitem(sys.modules, "my_lab", module)
    exec(MODULE, module.__dict__)
    return module


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    root = write_class_folders(tmp_path / "mylab", {"train": 60, "test": 12}, ("anger", "boredom", "happiness"))
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
    (root / "faces.txt").write_text("\n".join(paths))
    return root


def test_importing_a_plugin_registers_its_dataset(lab: types.ModuleType) -> None:
    assert "mylab" in known_datasets()
    assert find_dataset("mylab") is lab.MyDataModule.info
    assert lab.MyDataModule.dataset == "mylab"
    assert get_protocol("mylab", "paper").marked
    assert licence_note("mylab") == "Ask me."
    with pytest.raises(UserError, match="did you mean 'mylab'"):
        get_protocol("mylabs")


def test_plugin_faces_are_split_loaded_and_counted(lab: types.ModuleType, faces: Path) -> None:
    datamodule = lab.MyDataModule(faces, batch_size=8, cache="none")
    datamodule.setup()
    assert datamodule.protocol.name == "mylab@native"
    assert datamodule.class_names == ("anger", "boredom", "happiness")
    assert len(datamodule.splits.val) == 6
    batch = next(iter(datamodule.train_dataloader()))
    assert batch["image"].shape == (8, 3, 20, 20)
    assert batch["target"].dtype == torch.float32
    assert any("is the class order correct?" in note for note in datamodule.notes)
    assert len(next(iter(datamodule.test_dataloader()))["label"]) == 8


def test_plugin_dataset_can_be_checked_by_the_doctor(lab: types.ModuleType, faces: Path) -> None:
    datamodule = lab.MyDataModule(faces, batch_size=8, protocol="paper")
    datamodule.setup("predict")
    found = examine(datamodule)
    assert found.protocol == "mylab@paper"
    assert found.counts["test"] == [4, 4, 4]
    assert {f.code for f in found.findings} >= {"note"}


def test_missing_plugin_dataset_raises_the_same_error_as_built_in_ones(lab: types.ModuleType, faces: Path) -> None:
    with pytest.raises(UserError, match=r"My faces was not found(.|\n)*Looked for: a file faces\.txt(.|\n)*ask me"):
        lab.MyDataModule(faces.parent / "none").setup()
    with pytest.raises(UserError, match=r"looks like My faces: use dataset=mylab"):
        FERPlusDataModule(faces).setup()


def test_dataset_name_cannot_be_registered_twice(lab: types.ModuleType) -> None:
    exec(MODULE, lab.__dict__)  # a notebook's cell may run twice
    with pytest.raises(UserError, match=r"'mylab' is declared by my_lab\.MyDataModule and by .*Other"):

        class Other(FaceDataModule):
            info = lab.MyDataModule.info

            def read(self) -> FaceIndex:
                raise NotImplementedError


def test_subclass_without_declaration_inherits_its_parents(lab: types.ModuleType, faces: Path) -> None:
    class Mine(lab.MyDataModule):
        pass

    assert Mine(faces).protocol.name == "mylab@native"
    assert find_dataset("mylab") is lab.MyDataModule.info


def test_one_class_may_declare_several_datasets(lab: types.ModuleType) -> None:
    def declare(name: str, classes: tuple[str, ...]) -> DatasetInfo:
        protocols = (Protocol(f"{name}@native", classes, BEST_ON_TEST, expected=(Expected("train", "label", 9),)),)
        return DatasetInfo(name, name, "none", "ask me.", protocols, (Layout("any", "any"),), classes)

    class Several(FaceDataModule):
        info = (declare("two", ("a", "b")), declare("three", ("a", "b", "c")))

        def read(self) -> FaceIndex:
            raise NotImplementedError

    assert Several("x").protocol.name == "two@native"
    assert Several("x", name="three").protocol.class_names == ("a", "b", "c")
