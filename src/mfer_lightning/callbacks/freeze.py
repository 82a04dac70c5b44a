"""Freeze a pre-trained backbone during the first epochs."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback

from mfer_lightning.errors import UserError, check_number
from mfer_lightning.module import FERModule
from mfer_lightning.nn.backbones import Backbone


class FreezeBackbone(Callback):
    """Freeze the timm part of the backbone in the first epochs, then train everything.

    While it is frozen, its weights and batch-norm statistics do not change, and drop path and dropout are off, so its
    layers behave as in the pre-trained network. Attention, the final norm, heads and centres are trained.

    Unlike with Lightning's ``BaseFinetuning``, the optimiser contains all weights from the start and skips those
    without a gradient. No parameter groups are added later, there is a single schedule, and resuming before or after
    the transition is exact, because what is frozen depends only on the epoch.

    On several ranks, DistributedDataParallel needs ``find_unused_parameters=True``, because the weights are frozen only
    after DistributedDataParallel has wrapped the network.

    Args:
        epochs: number of epochs, at least 1; None: the whole run (a linear probe, if there is no attention
            and the head is linear).

    Raises:
        ValueError: if ``epochs`` is below 1.
        UserError: at the start of training, if the network has no backbone of this package.
    """

    def __init__(self, epochs: int | None = None) -> None:
        self.epochs = epochs
        if epochs is not None:
            check_number("epochs", epochs, 1)

    def frozen(self, epoch: int) -> bool:
        """Whether the backbone is frozen in an epoch, counted from 0."""
        return self.epochs is None or epoch < self.epochs

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Freeze or unfreeze. Validation restores the modes of the modules, so once per epoch is enough."""
        assert isinstance(pl_module, FERModule)
        backbone = getattr(pl_module.network, "backbone", None)
        if not isinstance(backbone, Backbone):
            raise UserError(
                f"freeze=backbone needs a network with a backbone of this package, not a "
                f"{type(pl_module.network).__name__}."
            )
        learns = not self.frozen(trainer.current_epoch)
        for name, parameter in backbone.named_parameters():
            if backbone.timm_name(name) is not None:
                parameter.requires_grad_(learns)
                if not learns:
                    parameter.grad = None
        for name, module in backbone.named_modules():
            if name and backbone.timm_name(f"{name}.") is not None:
                module.training = learns  # its own mode only: the attention inside is not part of timm
