"""Base class of all training methods: the step they receive, the loss terms they return, and their declarations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from mfer_lightning.errors import UserError


@dataclass(frozen=True)
class Step:
    """Input of a method in one training step.

    Args:
        network: maps normalised images (B,3,S,S) to ``feature``, ``logits``, ``head_logits`` and additional outputs. It
            may be called more than once.
        objective: maps the output of the network and targets (B,K) to named loss terms, including ``total``.
        epoch: counted from 0.
        repeated: true in the second forward pass of SAM on the same batch, in which a method must not change its state.
    """

    network: nn.Module
    objective: Callable[[dict[str, Any], Tensor], dict[str, Tensor]]
    epoch: int = 0
    repeated: bool = False


class Method(nn.Module):
    """A training method.

    A method is called with the batch of this rank and a :class:`Step`, and returns named scalars: ``total`` is
    minimised and logged as ``train/loss``; the others are logged as ``train/<name>``. The logged values are averaged
    over the faces of an epoch and all ranks.

    The layers of a method are submodules, and its state is in buffers. Both are moved to the device, saved in
    checkpoints and restored like the network, and the layers are trained together with the network. A buffer must be
    the same on all ranks, so gather the results of all ranks before changing it
    (:func:`mfer_lightning.methods.gather.gather_from_ranks`).

    The batch is a mapping with ``image`` float (B,3,S,S), normalised and possibly mixed; ``pixels`` uint8 (B,3,H,W),
    the augmented face before preprocessing; ``label`` int64 (B,); ``target`` float32 (B,K); ``index`` int64 (B,), the
    row in the dataset's table; and any other entries of the dataset.
    """

    #: Network outputs that the method needs in addition to ``feature``, ``logits`` and ``head_logits``.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Whether the method supports mixed faces, which have soft targets.
    takes_mixup: ClassVar[bool] = True
    #: Number of forward passes per face through each trained network.
    passes: ClassVar[int] = 1

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Additional networks that are trained like the main network."""
        return ()

    @property
    def teachers(self) -> tuple[nn.Module, ...]:
        """Networks that are run but not trained; they are not submodules, so that checkpoints exclude them."""
        return ()

    @property
    def rival(self) -> nn.Module | None:
        """The second network (attribute ``peer``), which replaces the main network if it is better on val; or None.

        Such a method has an int64 buffer ``kept``, 0 or 1, which is set after each validation.
        """
        return None

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the loss terms of one batch.

        Args:
            batch: batch of this rank.
            step: network, objective, epoch and whether the batch is repeated.

        Returns:
            Named scalars, including ``total``.
        """
        raise NotImplementedError

    def check(self, network: nn.Module, objective: nn.Module) -> None:
        """Reject a network or an objective that the method does not support.

        Args:
            network: networks of this package list their outputs in ``outputs``; other networks are not checked.
            objective: an objective of any class.

        Raises:
            UserError: if something is missing; the message states what to do.
        """
        has = getattr(network, "outputs", None)
        missing = [name for name in self.needs if has is not None and name not in has]
        if missing:
            raise UserError(
                f"Method {type(self).__name__} needs the network output {' and '.join(map(repr, missing))}, but "
                f"{self._name(network)} returns only {', '.join(has or ())}. Use another network or backbone, or "
                "method=baseline."
            )

    @staticmethod
    def _name(network: nn.Module) -> str:
        config = getattr(network, "config", None)
        if isinstance(config, Mapping) and config.get("name", "mfer") != "mfer":
            return f"network={config['name']}"
        backbone = config.get("backbone") if isinstance(config, Mapping) else None
        return f"'{backbone['name']}'" if isinstance(backbone, Mapping) and "name" in backbone else "this network"
