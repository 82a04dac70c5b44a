"""Where ``mfer evaluate`` writes its results."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from analysis.conftest import model_of
from data.further_trees import write_jaffe

from mfer_lightning.analysis.dataset_options import options_in_words, options_of
from mfer_lightning.analysis.model_on_split import open_model_on_split
from mfer_lightning.analysis.results_folder import results_folder
from mfer_lightning.data.datasets import (
    AffectNetDataModule,
    CKPlusDataModule,
    FaceDataModule,
    FacsDataModule,
    FERPlusDataModule,
    JAFFEDataModule,
    RAFDBDataModule,
)
from mfer_lightning.views import ONE_VIEW


@dataclass
class Subject:
    """The part of a ModelOnSplit that names a folder."""

    protocol: str
    data_hash: str
    split: str = "test"
    options: str = ""
    views: Any = ONE_VIEW
    model: Any = field(default_factory=lambda: SimpleNamespace(source=Path("model.ckpt"), precision="32-true"))

    @property
    def datamodule(self) -> SimpleNamespace:
        return SimpleNamespace(dataset=self.protocol.partition("@")[0], data_hash=self.data_hash)


def folder(protocol: str, data_hash: str) -> Path:
    return results_folder(Subject(protocol, data_hash))  # type: ignore[arg-type]


def test_two_custom_datasets_have_separate_result_folders() -> None:
    first, second = (folder("folder@holdout", text * 16) for text in ("0123", "4567"))
    assert first == Path("runs/evaluate-model/evaluations/folder@holdout-test-01230123")
    assert second.name == "folder@holdout-test-45674567"


@pytest.mark.parametrize("data_hash", ["0123" * 16, "4567" * 16])
def test_named_dataset_has_one_folder_for_every_copy(data_hash: str) -> None:
    assert folder("rafdb@holdout", data_hash).name == "rafdb@holdout-test"


@pytest.mark.parametrize("dropped", ["../../escaped", "fear/surprise", "a" * 300])
def test_names_of_dropped_classes_cannot_leave_the_folder(dropped: str) -> None:
    subject = Subject(f"rafdb@holdout-without-{dropped}", "0" * 64)
    found = results_folder(subject)  # type: ignore[arg-type]
    assert found.parent == Path("runs/evaluate-model/evaluations")
    assert len(found.name) < 100


def test_names_are_limited_in_bytes_and_cut_at_a_character() -> None:
    names = [folder(f"rafdb@holdout-without-{'情' * 50}{end}", "0" * 64).name for end in ("a", "b")]
    assert max(len(name.encode()) for name in names) <= 80
    assert names[0].startswith("rafdb@holdout-without-情情")
    assert "\ufffd" not in names[0]
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("first", "second"),
    [("a b", "a+b"), ("a b", "a-b"), ("a/b", "a-b"), ("a" * 300, "a" * 299)],
    ids=["space", "dash", "slash", "long"],
)
def test_different_classes_have_different_folders(first: str, second: str) -> None:
    assert folder(f"rafdb@holdout-without-{first}", "0" * 64) != folder(f"rafdb@holdout-without-{second}", "0" * 64)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("occlusion=0.5 difficulty=1", "-occlusion=0.5-difficulty=1"),
        ("relabel=my list.csv size=48", "-relabel=my-list.csv-size=48-[0-9a-f]{8}"),
        ("exclude=[a,b]", "-exclude=-a-b--[0-9a-f]{8}"),
        ("exclude=null", "-exclude=null"),
    ],
)
def test_spaces_between_options_are_not_unusual(options: str, expected: str) -> None:
    name = results_folder(Subject("facs@native", "0" * 64, options=options)).name  # type: ignore[arg-type]
    assert re.fullmatch(f"facs@native-test{expected}", name)


@pytest.mark.parametrize(
    ("option", "other"),
    [
        ("columns={path:file,label:null}", "columns={path:file,label:None}"),
        ("class_names={1:surprise,2:true}", "class_names={1:surprise}"),
        ("exclude=['a,b',c]", "exclude=[a,'b,c']"),
    ],
)
def test_options_are_written_as_typed_and_stay_distinct(option: str, other: str) -> None:
    written = options_in_words([f"dataset.{option}"])
    assert written == option
    assert options_in_words([f"dataset.{written}"]) == written
    assert options_in_words([f"dataset.{other}"]) != written


def name_of(faces: FaceDataModule, split: Any = "test", **metadata: Any) -> tuple[str, str]:
    """Return the folder's name and the evaluation set of a Python evaluation of a datamodule."""
    faces.prepare_data()
    faces.setup("predict")
    model = model_of(faces.class_names, metadata, Path("model.ckpt"))
    subject = open_model_on_split(model, split, datamodule=faces, device="cpu")
    return results_folder(subject).name, subject.describe()["evaluation_set"]


def facs(**options: Any) -> FacsDataModule:
    return FacsDataModule(
        target="majority", **{"train_size": 16, "val_size": 16, "test_size": 16, "difficulty": 0.45, **options}
    )


def test_datamodules_with_other_options_have_separate_folders() -> None:
    sizes = "test_size=16-train_size=16-val_size=16"
    assert name_of(facs())[0] == f"facs@native-test-{sizes}"
    words = "difficulty=0.9 occlusion=0.5 test_size=16 train_size=16 val_size=16"
    assert name_of(facs(difficulty=0.9, occlusion=0.5)) == (
        f"facs@native-test-{words.replace(' ', '-')}",
        f"all of test, with {words}",
    )


def test_options_of_a_datamodule_are_part_of_the_result() -> None:
    datamodule = facs(difficulty=0.9)
    subject = open_model_on_split(model_of(datamodule.class_names, {}), "test", datamodule=datamodule, device="cpu")
    assert subject.dataset.items() >= {"name": "facs", "protocol": "native", "difficulty": 0.9, "test_size": 16}.items()


def test_datamodule_with_the_options_of_training_has_the_usual_folder() -> None:
    trained = facs(difficulty=0.9).describe()
    assert name_of(facs(difficulty=0.9), datamodule=trained)[0] == "facs@native-test"
    assert name_of(facs(), datamodule=trained)[0] == "facs@native-test-difficulty=0.45"


def test_dataset_named_again_has_the_options_that_it_resets_in_its_folder() -> None:
    trained = {**facs(difficulty=0.9).describe(), "name": "facs"}
    sizes = [f"dataset.{split}_size=16" for split in ("train", "val", "test")]
    model = model_of(facs().class_names, {"datamodule": trained}, Path("model.ckpt"))

    def folder(*options: str, name: str | None = None) -> str:
        subject = open_model_on_split(model, dataset_name=name, dataset_options=options, device="cpu")
        return results_folder(subject).name

    assert folder() == "facs@native-test"
    again = folder("dataset.target=majority", *sizes, name="facs")
    assert "-difficulty=0.45-" in again
    same = folder("dataset.target=majority", "dataset.difficulty=0.9", *sizes, name="facs")
    assert again != same
    assert "-difficulty=0.9-" in same


def test_folds_of_a_datamodule_have_separate_folders_and_evaluation_sets(tmp_path: Path) -> None:
    root = write_jaffe(tmp_path, takes=1)
    assert name_of(JAFFEDataModule(root), "val") == (
        "jaffe@loso-val",
        "the next tenth of the subjects (subject 0 is tested)",
    )
    assert name_of(JAFFEDataModule(root, fold=3), "val") == (
        "jaffe@loso-val-fold=3",
        "the next tenth of the subjects (subject 3 is tested)",
    )
    assert name_of(JAFFEDataModule(root, fold=3))[1] == "subject 3, left out"


@pytest.mark.parametrize(
    "datamodule",
    [
        AffectNetDataModule("x", classes=7, size=224),
        CKPlusDataModule("x", size=112),
        FERPlusDataModule("x"),
        RAFDBDataModule("x"),
    ],
)
def test_default_datamodule_has_the_folder_of_the_command_line(datamodule: FaceDataModule) -> None:
    assert options_of(datamodule, None) == ""
