"""One of two gloo ranks on one device, as if on two machines; also run without a process group.

Usage: one_device.py RANK WORLD_SIZE RENDEZVOUS_FILE OUTPUT DEVICE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from mfer_lightning import MFER, FERModule
from mfer_lightning.data import FacsDataModule
from mfer_lightning.inference.predict_split import predict_with_trainer
from mfer_lightning.losses import CrossEntropy, DSFLoss, Objective
from mfer_lightning.nn import Preprocess

BACKBONE = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}
#: The 13 test faces are not divisible by two ranks or batches of 6.
SIZES = {"train_size": 32, "val_size": 8, "test_size": 13, "size": 32}


class Gradients(L.Callback):
    """Record the gradients of the first step, as passed to the optimiser."""

    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        named = pl_module.named_parameters()
        self.found = self.found or {name: p.grad.detach().cpu().clone() for name, p in named if p.grad is not None}


def found_by(world_size: int, device: str, folder: Path) -> dict[str, Any]:
    """Train for one step and predict the test faces; return this rank's gradients and the predictions of all ranks.

    Args:
        world_size: 1 or 2; two ranks run as two machines with one device each, so that they can share a device.
        device: ``"cpu"`` or ``"cuda"``.
        folder: folder for the cache of synthetic faces.
    """
    L.seed_everything(0, verbose=False)
    torch.backends.cudnn.allow_tf32 = False
    faces = FacsDataModule(**SIZES, batch_size=16, eval_batch_size=6, augment="none", cache_dir=folder)
    network = MFER(BACKBONE, faces.num_classes)
    objective = Objective(CrossEntropy(0.1), DSFLoss(faces.num_classes, network.feature_dim), feature_weight=0.3)
    module = FERModule(network, objective, Preprocess(size=32), class_names=faces.class_names)
    gradients = Gradients()
    trainer = L.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        num_nodes=world_size,
        strategy=DDPStrategy(process_group_backend="gloo") if world_size > 1 else "auto",
        max_steps=1,
        limit_val_batches=0,
        use_distributed_sampler=False,
        callbacks=[gradients],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    trainer.fit(module, datamodule=faces)
    faces.setup("test")
    outputs = predict_with_trainer(trainer, module, faces.test_dataloader())
    return {
        "device": str(module.device),
        "ranks": trainer.world_size,
        "gradients": gradients.found,
        "index": torch.from_numpy(outputs.index),
        "logits": torch.from_numpy(outputs.logits),
        "expected": torch.from_numpy(faces.splits.test.rows),
    }


if __name__ == "__main__":
    rank, ranks, rendezvous, output, kind = sys.argv[1:]
    port = Path(rendezvous).with_name("port").read_text(encoding="utf-8")
    os.environ |= {"NODE_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    torch.save(found_by(int(ranks), kind, Path(rendezvous).parent / f"cache{rank}"), output)
