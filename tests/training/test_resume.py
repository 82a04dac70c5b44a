"""What is known about the epochs of an unfinished run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.training.resume import Resumption, mixed_arithmetic, resumption


@pytest.fixture
def last(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"mfer": {"data_hash": "a", "precision": "bf16-mixed"}, "state_dict": {}}, path)
    return path


def test_run_without_checkpoint_starts_from_scratch(tmp_path: Path) -> None:
    assert resumption(tmp_path / "last.ckpt", "a") == Resumption()


def test_precisions_are_listed_in_order_of_use(last: Path) -> None:
    found = resumption(last, "a")
    assert found == Resumption(str(last), "bf16-mixed")
    assert found.with_precision("bf16-mixed") == "bf16-mixed"
    twice = found.with_precision("32-true")
    assert twice == "bf16-mixed, then 32-true"
    assert Resumption(str(last), twice).with_precision("32-true") == twice
    assert Resumption(str(last), twice).with_precision("16-mixed") == f"{twice}, then 16-mixed"
    assert mixed_arithmetic("bf16-mixed") is None
    assert str(mixed_arithmetic(twice)).startswith(f"Trained in {twice}")


def test_no_precision_is_added_after_the_last_epoch(last: Path) -> None:
    stored = {"mfer": {"data_hash": "a", "precision": "bf16-mixed"}, "state_dict": {}, "epoch": 4}
    torch.save(stored, last)
    assert resumption(last, "a", max_epochs=5).with_precision("32-true") == "bf16-mixed"
    assert resumption(last, "a", max_epochs=6).with_precision("32-true") == "bf16-mixed, then 32-true"
    assert resumption(last, "a", max_epochs=-1).with_precision("32-true") == "bf16-mixed, then 32-true"  # no limit


@pytest.mark.parametrize(
    ("configured", "told"), [("auto", "unknown, then 32-true"), ("bf16-mixed", "bf16-mixed, then 32-true")]
)
def test_checkpoints_without_recorded_precision_use_the_configuration(last: Path, configured: str, told: str) -> None:
    config = {"trainer": {"precision": configured}}
    torch.save({"mfer": {"data_hash": "a", "config": config}, "state_dict": {}, "epoch": 0}, last)
    assert resumption(last, "a", 2).with_precision("32-true") == told
    torch.save({"mfer": {"data_hash": "a", "precision": ""}, "state_dict": {}}, last)
    assert resumption(last, "a").with_precision("32-true") == "unknown, then 32-true"


def test_changed_data_are_rejected(last: Path) -> None:
    with pytest.raises(UserError, match=r"data have changed since .*run was started"):
        resumption(last, "b")
