"""Co-teaching: train two networks, each on the faces for which the other has a small loss.

Paper: Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama: Co-teaching: Robust Training of Deep Neural Networks with Extremely
Noisy Labels, NeurIPS 2018, arXiv 1804.06872. The fraction of faces kept, ``R(T) = 1 - min(T / T_k * tau, tau)``,
follows the paper, with T counted from 0 (the authors' public script reaches tau two epochs earlier); the number of
faces, ``int(R(T) * B)``, and the defaults follow that script. This implementation differs in three ways. Faces are
selected from the batch of all ranks. The losses of both networks are added and one optimizer trains both, which is
equivalent to two optimizers except that gradient clipping and SAM's radius apply to both networks together. After each
epoch, the network that is better on the validation faces is kept, whereas the script reports both.
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
    """Two networks that select faces with probably correct labels for each other.

    Each network ranks the faces of the batch of all ranks by the cross-entropy of its prediction. The *other* network
    is trained on the fraction ``R(T) = 1 - min(T / ramp_epochs, 1) * forget_rate`` with the smallest values, where T is
    the epoch counted from 0. SAM's second pass reuses the selection of the first.

    Args:
        peer: the second network, with the same architecture and its own weights. None: for evaluation only.
        forget_rate: tau within [0, 1), the final fraction of faces to discard; set it to the fraction of wrong labels.
        ramp_epochs: T_k, number of epochs over which the discarded fraction rises to ``forget_rate``.

    Attributes:
        kept: int64 scalar, 0 if the first network is kept, 1 if the second is.

    ``total`` is the sum of both networks' objectives; the objective's other terms are those of the first network.
    Additional terms: ``peer``, the objective of the second network; ``remembered``, R(T); ``agreed``, the fraction of
    the selected faces that both networks selected.

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
        """The second network, which is kept if it is better."""
        return self.peer

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the objective of each network on the faces selected by the other."""
        if self.peer is None:
            raise UserError("Method CoTeaching trains two networks. Pass the second network: CoTeaching(peer=...).")
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
        """Compute this rank's share of the objective: the mean over ranks is the objective of all selected faces.

        A rank without a selected face still participates, because the objective may gather over ranks: it uses its
        first face, whose terms are multiplied by zero and whose valence and arousal are treated as unknown.
        """
        mine = chosen[own]
        size = len(mine)
        some = mine.any()
        seen = mine if some else torch.arange(size, device=mine.device) == 0  # losses reject an empty batch
        parts = {name: _rows(value, seen, size) for name, value in output.items()}
        ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        share = mine.sum() * ranks / chosen.sum()
        affect = getattr(step.objective, "keywords", {}).get("valence_arousal")  # for the whole batch
        known = {} if affect is None else {"valence_arousal": affect[seen].masked_fill(~some, torch.nan)}
        terms = step.objective(parts, target[seen], **known)
        return {name: torch.where(some, value, torch.zeros_like(value)) * share for name, value in terms.items()}

    def check(self, network: nn.Module, objective: nn.Module) -> None:
        """Reject an objective with parameters, and targets that are sets of classes; see :meth:`Method.check`."""
        super().check(network, objective)
        if any(p.requires_grad for p in objective.parameters()):
            raise UserError(
                "Method CoTeaching trains two networks with different feature spaces, but the loss has only one "
                "set of centres. Use loss=ce or another loss without centres, or method=baseline."
            )
        if getattr(getattr(objective, "classification", None), "target_kind", "") == "multi-hot":
            raise UserError(
                "Method CoTeaching ranks faces by their cross-entropy, but the multi-target loss takes sets of "
                "classes. Use another loss, or method=baseline."
            )


def remember_rate(epoch: int, forget_rate: float, ramp_epochs: int) -> float:
    """Compute R(T), the fraction of faces to train on in epoch T, counted from 0.

    Example:
        >>> [round(remember_rate(epoch, 0.3, 3), 2) for epoch in range(5)]
        [1.0, 0.9, 0.8, 0.7, 0.7]
    """
    return 1 - min(epoch / ramp_epochs * forget_rate, forget_rate)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the cross-entropy of each face, (B,), in at least float32, from logits (B,K) and targets (B,K)."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -(target * logits.log_softmax(1)).sum(1)


def smallest(loss: Tensor, share: float) -> Tensor:
    """Mark the given fraction of faces with the smallest loss: ``int(share * B)`` faces, but at least one.

    Args:
        loss: (B,).
        share: within (0, 1].

    Returns:
        bool (B,).

    Example:
        >>> smallest(torch.tensor([0.3, 0.1, 0.9, 0.2]), 0.5).tolist()
        [False, True, False, True]
    """
    count = max(int(share * len(loss) + 1e-9), 1)  # so that 0.29 * 100 (28.999...) gives 29
    chosen = torch.zeros_like(loss, dtype=torch.bool)
    chosen[loss.argsort(stable=True)[:count]] = True
    return chosen


def _rows(value: Any, chosen: Tensor, size: int) -> Any:
    """Select rows of a tensor or of each tensor in a tuple; leave values without a row per face unchanged."""
    if isinstance(value, Tensor):
        return value[chosen] if value.ndim and len(value) == size else value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_rows(part, chosen, size) for part in value)
    return value
