"""A run that was moved keeps its best checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from mfer_lightning.callbacks import RunCheckpoint


def test_paths_of_a_moved_run_are_updated(tmp_path: Path) -> None:
    old = RunCheckpoint(tmp_path / "old", "best", "val/accuracy")
    old.best_model_path = str(tmp_path / "old" / "best.ckpt")
    old.best_model_score = torch.tensor(0.8)
    old.best_k_models = {old.best_model_path: torch.tensor(0.8)}
    old.kth_best_model_path = old.best_model_path
    old.last_model_path = str(tmp_path / "old" / "last.ckpt")
    new = RunCheckpoint(tmp_path / "new", "best", "val/accuracy")
    new.load_state_dict(old.state_dict())
    assert new.best_model_score == torch.tensor(0.8)
    assert Path(new.best_model_path) == tmp_path / "new" / "best.ckpt"
    assert [Path(p) for p in new.best_k_models] == [tmp_path / "new" / "best.ckpt"]
