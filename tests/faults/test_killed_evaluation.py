"""A loader worker is killed while faces are read for an evaluation or an export: one error message, no output."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from inference.predict.conftest import save_run

from mfer_lightning.analysis.run import evaluate
from mfer_lightning.data.dataset import FaceDataset
from mfer_lightning.errors import UserError
from mfer_lightning.inference.export.run import export

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs forked loader workers")

KILLED = (
    r"^A worker of the loader \(process \d+\) was killed; .* loader\.eval_batch_size=... Then repeat the command\.$"
)
FACES = {"train_size": 4, "val_size": 4, "test_size": 4, "size": 48, "cache": "none"}


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on synthetic faces; from now on, every loader worker is killed at its first batch."""
    this, whole = os.getpid(), FaceDataset.__getitems__

    def read(dataset: FaceDataset, keys: Any) -> Any:
        if os.getpid() != this:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(dataset, keys)

    monkeypatch.setattr(FaceDataset, "__getitems__", read)
    config = {"dataset": {"_target_": "mfer_lightning.data.datasets.FacsDataModule", "name": "facs", **FACES}}
    return save_run(tmp_path / "run", dataset="facs", protocol="facs@native", config=config)


@pytest.mark.parametrize("suite", ["standard", "explain", "robustness"])
def test_killed_worker_of_an_evaluation_raises_one_clear_error(suite: str, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=KILLED):
        evaluate(trained, suite=suite, device="cpu", output=tmp_path / "out", loader={"num_workers": 1})
    assert not list(tmp_path.glob("out/*.json"))


def test_killed_worker_of_an_export_raises_one_clear_error(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=KILLED):
        export(trained, half=True, output=tmp_path / "out", loader={"num_workers": 1, "eval_batch_size": 2})
    assert not (tmp_path / "out").exists()
