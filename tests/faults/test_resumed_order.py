"""The first epoch of a resumed run has its own order and augmentation, even if workers prefetch too early."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import pytest
import torch

from mfer_lightning.data.datasets.facs import FacsDataModule
from mfer_lightning.module.resumed_epoch import read_resumed_epoch


class Looks(L.LightningModule):
    """Record the batches without training."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[torch.Tensor]] = {}

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        self.seen.setdefault(self.current_epoch, []).append(batch["image"])
        return self.weight.sum()

    def on_train_start(self) -> None:
        read_resumed_epoch(self.trainer)  # like FERModule

    def configure_optimizers(self) -> torch.optim.Optimizer:
        assert self.trainer.estimated_stepping_batches  # for the schedule; this starts the workers
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_epoch_sees_the_same_faces_as_an_uninterrupted_one(workers: int, tmp_path: Path) -> None:
    def fit(epochs: int, start: Path | None = None) -> Looks:
        sizes = {"train_size": 24, "val_size": 8, "test_size": 8}
        data = FacsDataModule(size=24, **sizes, batch_size=8, num_workers=workers, cache="none")
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = L.Trainer(
            max_epochs=epochs, accelerator="cpu", default_root_dir=tmp_path, limit_val_batches=0,
            use_distributed_sampler=False, **quiet,
        )  # fmt: skip
        looks = Looks()
        trainer.fit(looks, data, ckpt_path=start, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return looks

    whole = fit(3).seen
    fit(1)
    resumed = fit(3, tmp_path / "1.ckpt").seen
    assert resumed.keys() == {1, 2}
    for epoch, batches in resumed.items():
        assert all(torch.equal(one, other) for one, other in zip(batches, whole[epoch], strict=True)), epoch
    assert not torch.equal(whole[0][0], whole[1][0])
