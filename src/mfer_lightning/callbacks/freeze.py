"""Freeze a pre-trained backbone during the first epochs."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback

from mfer_lightning.errors import UserError, check_number
from mfer_lightning.module import FERModule
from mfer_lightning.nn.backbones import Backbone


class FreezeBackbone(Callback):
    """Keep timm's part of the backbone frozen in the first epochs, then let everything learn.

    Frozen are its weights, the running statistics of its batch norms, and its drop-path and dropout, which are off: its
    features are those of the finished pre-trained network. Attention, the final norm, heads and centres learn.

    Differs from Lightning's ``BaseFinetuning``: the optimiser holds all weights from the start and passes over those
    without a gradient, so there are no parameter groups to add later, the schedule is one, and a run that is resumed on
    either side of the boundary goes on exactly. What is frozen is a function of the epoch alone.

    On several ranks DistributedDataParallel needs ``find_unused_parameters=True``: the weights are wrapped while all of
    them are to be learned, and frozen after that.

    Args:
        epochs: how many epochs, at least 1; None: throughout (a linear probe).

    Raises:
        ValueError: if ``epochs`` is below 1.
        UserError: if the network is none of ours, at the start of the training.
    """

    def __init__(self, epochs: int | None = None) -> None:
        self.epochs = epochs
        if epochs is not None:
            check_number("epochs", epochs, 1)

    def frozen(self, epoch: int) -> bool:
        """Whether the backbone is frozen in an epoch, counted from 0."""
        return self.epochs is None or epoch < self.epochs

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Freeze or let learn. Validation brings back the modes that it finds, so once an epoch is enough."""
        assert isinstance(pl_module, FERModule)
        backbone = getattr(pl_module.network, "backbone", None)
        if not isinstance(backbone, Backbone):
            raise UserError(f"freeze=backbone needs a network with a backbone of ours, not {type(pl_module.network)}.")
        learns = not self.frozen(trainer.current_epoch)
        for name, parameter in backbone.named_parameters():
            if backbone.timm_name(name) is not None:
                parameter.requires_grad_(learns)
                if not learns:
                    parameter.grad = None
        for name, module in backbone.named_modules():
            if name and backbone.timm_name(f"{name}.") is not None:
                module.training = learns  # its own mode alone: the attention within is not timm's
