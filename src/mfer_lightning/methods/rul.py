"""RUL, Relative Uncertainty Learning: mix the features of two faces, weighted by uncertainty, and train on both labels.

Paper: Zhang, Wang, Deng: Relative Uncertainty Learning for Facial Expression Recognition, NeurIPS 2021. Formula, branch
and default values follow the authors' public script: uncertainties weight the mixed features, the "add-up" loss trains
the classifier on both labels with equal weight, and evaluation uses the unmixed features. The more uncertain face of a
pair gets more weight, because otherwise it could not be recognised in the mixture. This implementation differs in three
ways: the branch uses the network's feature instead of the flattened last feature map, so that it works with every
backbone and image size; the statistics of the branch are over the batch of all ranks; no face is mixed with itself,
which the authors' random permutation allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_count, check_number
from mfer_lightning.losses.gather import gather_rows
from mfer_lightning.methods.base import Method, Step
from mfer_lightning.methods.gather import gather_from_ranks, rows_of_this_rank
from mfer_lightning.methods.random_by_face import uniforms
from mfer_lightning.nn.network import summed

#: Added to variances, as in the authors' script.
_EPS = 2e-5


class RUL(Method):
    """Train on mixed features, weighted by a learned uncertainty.

    A branch predicts an uncertainty u > 0 for each face: the feature is standardised over the batch and passed through
    dropout; a linear layer gives ``width`` values, which are standardised, scaled and shifted; u is the mean of their
    exponentials.
    Faces a and b are mixed to ``(u_a f_a + u_b f_b) / (u_a + u_b)``, and the loss is the mean of the objectives for the
    labels of a and b. Losses on the feature and on additional outputs use the unmixed faces.

    Args:
        feature_dim: width D of the network's feature.
        width: number of outputs of the branch.
        dropout: dropout rate of the standardised feature, within [0, 1).
        seed: random seed of the pairs and the dropout.

    Terms in addition to the objective's: ``uncertainty``, the mean uncertainty of the batch; ``spread``, the standard
    deviation divided by the mean, which is 0 if the branch does not distinguish faces.

    Raises:
        ValueError: for arguments outside their range.
    """

    takes_mixup: ClassVar[bool] = False

    def __init__(self, feature_dim: int, width: int = 64, dropout: float = 0.4, seed: int = 0) -> None:
        super().__init__()
        self.feature_dim = check_count("feature_dim", feature_dim)
        self.width = check_count("width", width)
        self.dropout = check_number("dropout", dropout, 0, 1, excluded="high")
        self.seed = seed
        self.branch = nn.Linear(feature_dim, width)
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the mean of the objective's terms over the two labels of each mixed feature."""
        output = step.network(batch["image"])
        (features,) = gather_rows(output["feature"])  # pairs are drawn from the batch of all ranks
        target, index = gather_from_ranks(batch["target"], batch["index"])
        draw = uniforms(self.seed, step.epoch, index, 1 + self.feature_dim)
        partner = partners(draw[:, 0]).to(features.device)
        uncertainty = self.uncertainty(features, (draw[:, 1:] >= self.dropout).to(features.device))
        own = rows_of_this_rank(batch["index"])
        heads = step.network.classify(mix(features, uncertainty, partner)[own])  # type: ignore[operator]
        seen = {**output, "head_logits": heads, "logits": summed(heads)}
        one = step.objective(seen, batch["target"])
        needs = getattr(getattr(step.objective, "func", step.objective), "needs", ())
        others = {n: gather_rows(output[n])[0][partner[own]] for n in needs if n in output}
        other = step.objective({**seen, **others, "feature": features[partner[own]]}, target[partner[own]])
        terms = {name: 0.5 * (one[name] + other[name]) for name in one}
        known = uncertainty.detach()
        terms["uncertainty"] = known.mean()
        terms["spread"] = known.std(correction=0) / known.mean()
        return terms

    def uncertainty(self, feature: Tensor, kept: Tensor) -> Tensor:
        """Compute the uncertainty of each face of a batch, in at least float32.

        Args:
            feature: (B,D).
            kept: bool (B,D), the dropout mask: false for entries that are set to 0.

        Returns:
            (B,), positive.
        """
        with torch.autocast(feature.device.type, enabled=False):
            x = _standardised(feature.to(torch.promote_types(feature.dtype, torch.float32)))
            x = self.branch(x * kept / (1 - self.dropout))
            return (_standardised(x) * self.scale + self.shift).exp().mean(1)

    def check(self, network: nn.Module, objective: nn.Module) -> None:
        """Reject a network whose classifier cannot be applied to a feature; see :meth:`Method.check`."""
        super().check(network, objective)
        if not callable(getattr(network, "classify", None)):
            raise UserError(
                f"Method RUL classifies mixed features, but {self._name(network)} has no `classify(feature)`. Use "
                "network=mfer, add `classify` to your network (it maps features (B,D) to a tuple of logits (B,K), one "
                "per head), or use method=baseline."
            )


def partners(draw: Tensor) -> Tensor:
    """Pair each face with the next one in a random order, and the last with the first.

    Args:
        draw: (B,), one random number per face.

    Returns:
        int64 (B,), the row of each face's partner, which is another face unless there is only one.

    Example:
        >>> partners(torch.tensor([0.9, 0.1, 0.5])).tolist()
        [1, 2, 0]
    """
    order = draw.argsort(stable=True)
    partner = torch.empty_like(order)
    partner[order] = order.roll(-1)
    return partner


def mix(feature: Tensor, uncertainty: Tensor, partner: Tensor) -> Tensor:
    """Compute the weighted means of features (B,D) and their partners', with the uncertainties (B,) as weights.

    Example:
        >>> mix(torch.tensor([[0.0], [1.0]]), torch.tensor([1.0, 3.0]), torch.tensor([1, 0])).tolist()
        [[0.75], [0.75]]
    """
    own = (uncertainty / (uncertainty + uncertainty[partner]))[:, None]
    return own * feature + (1 - own) * feature[partner]


def _standardised(x: Tensor) -> Tensor:
    """Subtract the batch mean and divide by the batch standard deviation, as batch norm does in training."""
    variance, mean = torch.var_mean(x, 0, correction=0)
    return (x - mean) / (variance + _EPS).sqrt()
