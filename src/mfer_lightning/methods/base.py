"""What every training method is given, what it returns, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from mfer_lightning.errors import UserError


@dataclass(frozen=True)
class Step:
    """One training step, as a method sees it.

    Args:
        network: maps normalised images (B,3,S,S) to ``feature``, ``logits``, ``head_logits`` and further outputs. It
            may be called more than once.
        objective: maps such an output and targets (B,K) to named loss terms, ``total`` among them.
        epoch: counted from 0.
        repeated: whether the same batch was seen just before, for SAM's second gradient. State must not change then.
    """

    network: nn.Module
    objective: Callable[[dict[str, Any], Tensor], dict[str, Tensor]]
    epoch: int = 0
    repeated: bool = False


class Method(nn.Module):
    """A training method.

    It is called with the batch of this rank and a :class:`Step`, and returns named scalars: ``total`` is minimised,
    the others are logged as ``train/<name>``, as means over the faces of an epoch and all ranks.

    Layers of a method's own are submodules, and what it remembers is in buffers: both are trained, moved to the
    device, kept in checkpoints and continued like the network's. A buffer must not depend on the rank: gather what
    the ranks find out (:func:`mfer_lightning.methods.gather.gather_from_ranks`).

    The batch is a mapping of ``image`` float (B,3,S,S), normalised and perhaps mixed, ``pixels`` uint8 (B,3,H,W), the
    augmented face as it was read, ``label`` int64 (B,), ``target`` float32 (B,K), ``index`` int64 (B,), the row of the
    dataset's table, and what else the dataset gives.
    """

    #: Outputs of the network that it needs beside ``feature``, ``logits`` and ``head_logits``.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Whether it can be given mixed faces, whose targets are soft.
    takes_mixup: ClassVar[bool] = True
    #: How many times a face goes through each network that is trained.
    passes: ClassVar[int] = 1

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """Further networks that are trained like the network."""
        return ()

    @property
    def teachers(self) -> tuple[nn.Module, ...]:
        """Networks that are run without being trained; they are no submodules, so that checkpoints leave them out."""
        return ()

    @property
    def rival(self) -> nn.Module | None:
        """Of ``networks``, the one called ``peer`` that is kept in place of the network where it is better on val.

        Such a method has an int64 buffer ``kept``, 0 or 1, which the training sets after each validation.
        """
        return None

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the loss terms of one batch.

        Args:
            batch: of this rank.
            step: network, objective and where the training stands.

        Returns:
            Named scalars, ``total`` among them.
        """
        raise NotImplementedError

    def check(self, network: nn.Module, objective: nn.Module) -> None:
        """Refuse a network or an objective that the method cannot serve.

        Args:
            network: says in ``outputs`` what it returns, if it is one of ours.
            objective: of any class.

        Raises:
            UserError: naming what is missing and what to do.
        """
        has = getattr(network, "outputs", None)
        missing = [name for name in self.needs if has is not None and name not in has]
        if missing:
            raise UserError(
                f"Method {type(self).__name__} needs {' and '.join(map(repr, missing))} of the network, which "
                f"{self._name(network)} does not return (it returns {', '.join(has or ())}). Use another network or "
                "backbone, or method=baseline."
            )

    @staticmethod
    def _name(network: nn.Module) -> str:
        config = getattr(network, "config", None)
        if isinstance(config, Mapping) and config.get("name", "mfer") != "mfer":
            return f"network={config['name']}"
        backbone = config.get("backbone") if isinstance(config, Mapping) else None
        return f"'{backbone['name']}'" if isinstance(backbone, Mapping) and "name" in backbone else "this one"
