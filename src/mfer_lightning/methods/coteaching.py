"""Co-teaching: two networks, each trained on the faces that the other finds easy.

Paper: Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama: Co-teaching: Robust Training of Deep Neural Networks with Extremely
Noisy Labels, NeurIPS 2018, arXiv 1804.06872. The share of faces that is kept, ``R(T) = 1 - min(T / T_k * tau, tau)``,
is the paper's, T counted from 0 (the authors' public script reaches tau two epochs earlier); the number of faces,
``int(R(T) * B)``, and the values are that script's. Ours: the faces are chosen among the batch of all ranks; the
losses of both networks are added and one optimizer trains both, which is the same as two, except that a clipped
gradient norm and SAM's radius are those of both together; after each epoch the network that is better on the validation
faces is the one that is kept, where the script reports both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_count, check_number
from mfer_lightning.methods.base import Method, Step
from mfer_lightning.methods.gather import gather_from_ranks, rows_of_this_rank


class CoTeaching(Method):
    """Two networks that pick faces with probably right labels for one another.

    Each network ranks the faces of the batch of all ranks by the cross-entropy of its prediction. The share
    ``R(T) = 1 - min(T / ramp_epochs, 1) * forget_rate`` of epoch T, counted from 0, with the smallest ones is what the
    *other* network is trained on. In SAM's second pass the choice of the first one holds.

    Args:
        peer: the second network, of the same kind as the first and with weights of its own. None: to be evaluated only.
        forget_rate: share tau of faces that is left out in the end, within [0, 1): the share of wrong labels.
        ramp_epochs: epochs T_k until it is reached.

    Attributes:
        kept: int64 scalar, 0 where the first network is kept, 1 where the second is.

    Terms beside the objective's, which are those of the first network: ``peer``, the objective of the second;
    ``remembered``, R(T); ``agreed``, the share of the chosen faces that both networks chose.

    Raises:
        ValueError: for arguments outside their range.
    """

    takes_mixup: ClassVar[bool] = False
    kept: Tensor

    def __init__(self, peer: nn.Module | None = None, forget_rate: float = 0.2, ramp_epochs: int = 10) -> None:
        super().__init__()
        self.peer = peer
        self.forget_rate = check_number("forget_rate", forget_rate, 0, 1, excluded="high")
        self.ramp_epochs = check_count("ramp_epochs", ramp_epochs)
        self.register_buffer("kept", torch.zeros((), dtype=torch.int64))
        self._chosen: tuple[Tensor, Tensor] | None = None

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The second network."""
        return () if self.peer is None else (self.peer,)

    @property
    def rival(self) -> nn.Module | None:
        """The second network, which is kept where it is better."""
        return self.peer

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the objective of each network for the faces that the other one chose."""
        if self.peer is None:
            raise UserError("Method CoTeaching trains two networks: give it the second one, CoTeaching(peer=...).")
        outputs = (step.network(batch["image"]), self.peer(batch["image"]))
        remembered = remember_rate(step.epoch, self.forget_rate, self.ramp_epochs)
        own = rows_of_this_rank(batch["index"])
        if not step.repeated or self._chosen is None:
            losses = gather_from_ranks(*(cross_entropy(o["logits"].detach(), batch["target"]) for o in outputs))
            first, second = (smallest(loss, remembered) for loss in losses)
            self._chosen = (first, second)
        first, second = self._chosen
        terms = self._objective(step, outputs[0], batch["target"], second, own)
        peer = self._objective(step, outputs[1], batch["target"], first, own)["total"]
        terms["total"] = terms["total"] + peer
        terms["peer"] = peer.detach()
        terms["remembered"] = peer.new_tensor(remembered)
        terms["agreed"] = (first & second).sum() / first.sum()
        return terms

    @staticmethod
    def _objective(
        step: Step, output: Mapping[str, Any], target: Tensor, chosen: Tensor, own: slice
    ) -> dict[str, Tensor]:
        """Compute the objective of this rank's chosen faces; the mean over ranks is that of all chosen faces.

        A rank without a chosen face takes part all the same, since the objective may gather over ranks: with its first
        face, whose terms count nothing, and whose valence and arousal are unknown.
        """
        mine = chosen[own]
        size = len(mine)
        some = mine.any()
        seen = mine if some else torch.arange(size, device=mine.device) == 0  # losses refuse no face at all
        parts = {name: _rows(value, seen, size) for name, value in output.items()}
        ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        share = mine.sum() * ranks / chosen.sum()
        affect = getattr(step.objective, "keywords", {}).get("valence_arousal")  # of the whole batch
        known = {} if affect is None else {"valence_arousal": affect[seen].masked_fill(~some, torch.nan)}
        terms = step.objective(parts, target[seen], **known)
        return {name: torch.where(some, value, torch.zeros_like(value)) * share for name, value in terms.items()}

    def check(self, network: nn.Module, objective: nn.Module) -> None:
        """Refuse an objective with parameters, and targets that are sets of classes; see :meth:`Method.check`."""
        super().check(network, objective)
        if any(p.requires_grad for p in objective.parameters()):
            raise UserError(
                "Method CoTeaching trains two networks with two feature spaces, and the loss learns centres of one: "
                "use loss=ce or another without centres, or method=baseline."
            )
        if getattr(getattr(objective, "classification", None), "target_kind", "") == "multi-hot":
            raise UserError(
                "Method CoTeaching ranks faces by their cross-entropy, and the multi-target loss takes sets of "
                "classes: use another loss, or method=baseline."
            )


def remember_rate(epoch: int, forget_rate: float, ramp_epochs: int) -> float:
    """Compute the share R(T) of faces that is trained on in epoch T, counted from 0.

    Example:
        >>> [round(remember_rate(epoch, 0.3, 3), 2) for epoch in range(5)]
        [1.0, 0.9, 0.8, 0.7, 0.7]
    """
    return 1 - min(epoch / ramp_epochs * forget_rate, forget_rate)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the cross-entropy of each face, (B,), in float32 at least, of logits (B,K) and targets (B,K)."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -(target * logits.log_softmax(1)).sum(1)


def smallest(loss: Tensor, share: float) -> Tensor:
    """Mark the share of faces with the smallest loss, ``int(share * B)`` of them and at least one.

    Args:
        loss: (B,).
        share: within (0, 1].

    Returns:
        bool (B,).

    Example:
        >>> smallest(torch.tensor([0.3, 0.1, 0.9, 0.2]), 0.5).tolist()
        [False, True, False, True]
    """
    count = max(int(share * len(loss) + 1e-9), 1)  # 0.7 * 10 is 7
    chosen = torch.zeros_like(loss, dtype=torch.bool)
    chosen[loss.argsort(stable=True)[:count]] = True
    return chosen


def _rows(value: Any, chosen: Tensor, size: int) -> Any:
    """Select rows of a tensor or of each in a tuple; leave what has no row a face as it is."""
    if isinstance(value, Tensor):
        return value[chosen] if value.ndim and len(value) == size else value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_rows(part, chosen, size) for part in value)
    return value
