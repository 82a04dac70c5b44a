"""SCN, Self-Cure Network: weight faces by certainty, rank the weights, and relabel suspicious faces.

Paper: Wang, Peng, Yang, Lu, Qiao: Suppressing Uncertainties for Large-Scale Facial Expression Recognition, CVPR 2020,
arXiv 2002.10392. The formulas are from the paper, the default values from the authors' public script. As in the script,
any face of a batch can be relabelled (in the paper, only the lower-ranked group), and a changed label takes effect the
next time the face is used. This implementation differs in two ways: with several heads, the logits of each head are
weighted, and the probabilities come from their sum; the weights are used only in training, whereas the authors' script
also scales the logits in evaluation, which changes no prediction but flattens the probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_count, check_number
from mfer_lightning.losses.gather import gather_rows
from mfer_lightning.methods.base import Method, Step
from mfer_lightning.methods.labels_by_index import LabelsByIndex
from mfer_lightning.nn.network import summed


class SCN(Method):
    """Self-cure: certainty weights, rank regularisation and relabelling.

    A linear layer with a sigmoid predicts a weight in (0, 1) for each face, which multiplies its logits. In each batch,
    the mean weight of the fraction ``high_share`` with the largest weights must exceed that of the others by
    ``rank_margin``; the shortfall is added to the loss. From epoch ``relabel_epoch`` on, a face whose largest
    probability exceeds that of its label by more than ``relabel_margin`` is relabelled with the predicted class.

    Args:
        feature_dim: width D of the network's feature.
        num_faces: number of rows in the dataset's table; every ``index`` in a batch is below it.
        high_share: beta, fraction of faces in the high-weight group, within [0, 1].
        rank_margin: delta 1, margin between the mean weights of the groups, within [0, 1].
        relabel_margin: delta 2, margin between the probabilities, within [0, 1].
        relabel_epoch: first epoch, counted from 1, in which labels are changed.

    Attributes:
        labels: the changed labels, a :class:`~mfer_lightning.methods.labels_by_index.LabelsByIndex`.

    Terms in addition to the objective's: ``rank``, the rank regularisation; ``certainty``, the mean weight;
    ``relabelled``, the fraction of faces relabelled in this step.

    Raises:
        ValueError: for arguments outside their range.
    """

    takes_mixup: ClassVar[bool] = False

    def __init__(
        self,
        feature_dim: int,
        num_faces: int,
        high_share: float = 0.7,
        rank_margin: float = 0.15,
        relabel_margin: float = 0.2,
        relabel_epoch: int = 10,
    ) -> None:
        super().__init__()
        self.feature_dim = check_count("feature_dim", feature_dim)
        self.num_faces = check_count("num_faces", num_faces)
        self.high_share = check_number("high_share", high_share, 0, 1)
        self.rank_margin = check_number("rank_margin", rank_margin, 0, 1)
        self.relabel_margin = check_number("relabel_margin", relabel_margin, 0, 1)
        self.relabel_epoch = check_count("relabel_epoch", relabel_epoch)
        self.certainty = nn.Linear(feature_dim, 1)
        self.labels = LabelsByIndex(num_faces)

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the objective of weighted logits and the rank regularisation, and relabel faces.

        Raises:
            ValueError: if an ``index`` in the batch is not below ``num_faces``.
        """
        output = step.network(batch["image"])
        weight = torch.sigmoid(self.certainty(output["feature"]))
        heads = tuple(weight * logits for logits in output["head_logits"])
        logits = summed(heads)
        target = self.labels.current(batch["target"], batch["index"])
        terms = dict(step.objective({**output, "head_logits": heads, "logits": logits}, target))
        (weights,) = gather_rows(weight.flatten())  # over the batch of all ranks
        terms["rank"] = rank_regularisation(weights, self.high_share, self.rank_margin)
        terms["total"] = terms["total"] + terms["rank"]
        terms["certainty"] = weight.detach().mean()
        doubted = self._relabel(logits.detach(), target, batch["index"], step)
        terms["relabelled"] = doubted.float().mean()
        return terms

    def _relabel(self, logits: Tensor, target: Tensor, index: Tensor, step: Step) -> Tensor:
        """Relabel suspicious faces, and return a mask of them (B,)."""
        if step.repeated or step.epoch + 1 < self.relabel_epoch:
            return torch.zeros_like(index, dtype=torch.bool)
        probability = logits.float().softmax(1)
        largest, predicted = probability.max(1)
        own = probability.gather(1, target.argmax(1, keepdim=True)).squeeze(1)
        doubted = largest - own > self.relabel_margin
        self.labels.change(index[doubted], predicted[doubted])
        return doubted

    def check(self, network: nn.Module, objective: nn.Module) -> None:
        """Reject targets that are sets of classes, which have no single label to change; see :meth:`Method.check`."""
        super().check(network, objective)
        if getattr(getattr(objective, "classification", None), "target_kind", "") == "multi-hot":
            raise UserError(
                "Method SCN changes the single label of a face, but the multi-target loss takes sets of "
                "classes. Use another loss, or method=baseline."
            )


def rank_regularisation(weight: Tensor, high_share: float, margin: float) -> Tensor:
    """Compute how far the difference between the means of the larger and the smaller weights falls below a margin.

    Args:
        weight: (B,).
        high_share: fraction of weights in the group of larger weights, ``int(B * high_share)``; each group has at least
            one.
        margin: required difference between the means.

    Returns:
        A scalar, ``max(0, margin - (mean of the larger - mean of the smaller))``; 0 for a batch of one face.

    Example:
        >>> weight = torch.tensor([0.9, 0.8, 0.7, 0.7])
        >>> round(float(rank_regularisation(weight, 0.5, 0.2)), 6)
        0.05
    """
    if len(weight) < 2:
        return weight.sum() * 0.0
    high = min(max(int(len(weight) * high_share), 1), len(weight) - 1)
    ordered = weight.sort(descending=True).values
    return (margin - (ordered[:high].mean() - ordered[high:].mean())).clamp(min=0.0)
