"""Where ``mfer evaluate`` writes its results."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mfer_lightning.analysis.model_on_split import results_folder
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
