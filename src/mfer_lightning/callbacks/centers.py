"""Initialise the centres of a feature loss with class means of training features."""

from __future__ import annotations

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.module import FERModule


class CentersFromData(Callback):
    """Set the centres to the mean feature of each class before the first step, using part of the training faces.

    The faces are the first faces of the first epoch, with augmentation: a random sample that does not depend on the
    order of the files. The network has its initial weights (random or pre-trained) and is in evaluation mode. The means
    are computed over the faces of all ranks. The callback has no effect in a resumed run, which keeps its learned
    centres, or if the loss has no centres.

    Args:
        faces: minimum number of faces over all ranks, at least 1; whole batches are used.

    Raises:
        ValueError: if ``faces`` is below 1.
    """

    def __init__(self, faces: int = 4096) -> None:
        self.faces = check_number("faces", faces, 1)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set the centres at the start of a new run."""
        assert isinstance(pl_module, FERModule)
        if trainer.global_step > 0 or getattr(pl_module.objective.feature, "init_centers", None) is None:
            return
        features: list[Tensor] = []
        targets: list[Tensor] = []
        seen = 0
        was_training = pl_module.network.training
        pl_module.network.eval()
        with torch.no_grad():
            for batch in trainer.datamodule.train_dataloader():  # type: ignore[attr-defined]
                image, target = (batch[name].to(pl_module.device) for name in ("image", "target"))
                features.append(pl_module(image)["feature"].float())
                targets.append(target)
                seen += len(target) * trainer.world_size
                if seen >= self.faces:
                    break
            pl_module.objective.init_centers(torch.cat(features), torch.cat(targets))  # type: ignore[operator]
        pl_module.network.train(was_training)
