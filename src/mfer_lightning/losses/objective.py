"""The objective: the classification loss of every head, plus weighted losses on the feature and other outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_number
from mfer_lightning.losses.checks import check_target_kind
from mfer_lightning.losses.output_loss import OutputLoss

#: Names of the terms that every objective can have.
RESERVED = ("total", "classification", "feature", "valence_arousal")


class Objective(nn.Module):
    """Total loss: the sum of the classification losses of all heads, plus weighted losses on other outputs.

    As in MFER's published code, the losses of the heads are summed (not averaged), and the summed logits ``logits``
    have no loss of their own.

    Args:
        classification: a loss ``(logits (B,K), target (B,K)) -> scalar``, e.g. :class:`CrossEntropy`.
        feature: a loss ``(feature (B,D), target (B,K)) -> scalar or {"total": scalar, ...}``, e.g.
            :class:`DSFLoss`, or None.
        terms: name -> a loss on additional outputs of the network, with its own weight, e.g. :class:`PartitionLoss`.
        feature_weight: weight >= 0 of the feature loss. All feature losses except ``MetricLearningLoss`` are divided by
            D, so one weight works for every width; the published weight of 1e-3 at 1,024 dimensions corresponds to
            about 1.
        valence_arousal: a loss ``(prediction (B,2), target (B,2) with NaN if unknown) -> scalar``, e.g.
            :class:`ConcordanceLoss`, or None.
        valence_arousal_weight: weight >= 0 of the loss on valence and arousal.

    Raises:
        ValueError: if a weight is out of range, or a name in ``terms`` is already used for another loss term.

    Example:
        >>> from mfer_lightning.losses import CrossEntropy, DSFLoss
        >>> objective = Objective(CrossEntropy(), DSFLoss(num_classes=3, feature_dim=8), feature_weight=0.3)
        >>> logits = torch.zeros(4, 3)
        >>> output = {"feature": torch.randn(4, 8), "logits": 2 * logits, "head_logits": (logits, logits)}
        >>> terms = objective(output, torch.eye(3)[[0, 1, 2, 0]])
        >>> sorted(terms)
        ['classification', 'feature', 'feature_balance', 'feature_distance', 'total']
        >>> bool(terms["total"] == terms["classification"] + 0.3 * terms["feature"])
        True
    """

    def __init__(
        self,
        classification: nn.Module,
        feature: nn.Module | None = None,
        feature_weight: float = 1.0,
        terms: Mapping[str, OutputLoss] = MappingProxyType({}),
        *,
        valence_arousal: nn.Module | None = None,
        valence_arousal_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.classification = classification
        self.feature = feature
        self.feature_weight = check_number("feature_weight", feature_weight, 0.0)
        self.valence_arousal = valence_arousal
        self.valence_arousal_weight = check_number("valence_arousal_weight", valence_arousal_weight, 0.0)
        taken = [name for name in terms if name in RESERVED or name.startswith("feature_")]
        if taken:
            raise ValueError(f"Expected argument `terms` to have names that are not in use, but got {taken[0]!r}.")
        self.terms = nn.ModuleDict(dict(terms))
        self._values_checked = False

    def forward(
        self, output: Mapping[str, Any], target: Tensor, valence_arousal: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss terms of a network's output.

        The values of the targets (whether they are distributions, one-hot, ...) are checked on the first batch only,
        because reading them synchronises with the device.

        Args:
            output: ``head_logits``, one or more (B,K); for a feature loss, ``feature`` (B,D); for a loss on valence
                and arousal, ``valence_arousal`` (B,2); and the outputs in :attr:`needs`.
            target: (B,K), or integer labels (B,), which are converted to one-hot targets.
            valence_arousal: labels (B,2), NaN if unknown; required if there is a loss on valence and arousal.

        Returns:
            Scalars: ``total`` (to be minimised) and ``classification``; with a feature loss, ``feature`` and its parts
                ``feature_<part>``; each loss in ``terms`` under its name; with a loss on valence and arousal,
                ``valence_arousal``. All except ``total`` are unweighted.

        Raises:
            UserError: if a loss does not support targets of this kind.
            ValueError: if an output is missing or shapes do not match.
        """
        heads = output.get("head_logits")
        if not _is_tensors(heads) or len(heads) == 0:
            raise ValueError(
                "Expected argument `output` to contain `head_logits`, a non-empty sequence of tensors (B, K), "
                f"but got {type(heads).__name__} {'instead' if heads is not None else ''}".rstrip()
                + ". The classification loss needs at least one head."
            )
        if target.ndim == 1:
            target = _hard_targets(target, heads[0].shape[-1])
        if not self._values_checked:
            self._check_values(target)
            self._values_checked = True
        terms = self._terms(output, target)
        if self.valence_arousal is not None:
            value = self.valence_arousal(*_values(output.get("valence_arousal"), valence_arousal))
            total = terms["total"] + self.valence_arousal_weight * value
            terms |= {"valence_arousal": value, "total": total}
        return terms

    def evaluate(self, output: Mapping[str, Any], target: Tensor) -> Tensor:
        """Compute the total loss for evaluation faces.

        Feature losses that accept only one-hot targets are left out: those of pytorch-metric-learning depend on the
        composition of the batch and on hard labels, which an evaluation set may not have. The loss on valence and
        arousal is also left out, because it depends on the batch; metrics over the whole set are computed instead.

        Args:
            output: as in :meth:`forward`.
            target: (B,K), or integer labels (B,).

        Returns:
            A scalar.
        """
        heads = output["head_logits"]
        target = _hard_targets(target, heads[0].shape[-1]) if target.ndim == 1 else target
        single = getattr(self.feature, "target_kind", None) == "one-hot"
        return self._terms(output, target, with_feature=not single)["total"]

    def check(self, network: nn.Module) -> None:
        """Reject a network without an output that a loss needs.

        Args:
            network: networks of this package list their outputs in ``outputs``; other networks are not checked.

        Raises:
            UserError: if an output is missing; the message names the loss, the output and what to do.
        """
        has = getattr(network, "outputs", None)
        for name, loss in self.terms.items():
            missing = [o for o in loss.needs if has is not None and o not in has]  # type: ignore[union-attr]
            if missing:
                raise UserError(
                    f"loss.terms.{name} ({type(loss).__name__}) needs the network output "
                    f"{' and '.join(map(repr, missing))}, but {type(network).__name__} returns only "
                    f"{', '.join(has or ())}. Use a network with this output, or another loss such as loss=ce."
                )

    def _terms(self, output: Mapping[str, Any], target: Tensor, with_feature: bool = True) -> dict[str, Tensor]:
        heads, feature = output["head_logits"], output.get("feature")
        classification = torch.stack([self.classification(logits, target) for logits in heads]).sum()
        terms = {"total": classification, "classification": classification}
        if self.feature is not None and with_feature:
            if not isinstance(feature, Tensor):
                raise ValueError(
                    "Expected argument `output` to contain `feature`, a tensor (B, D) for "
                    f"{type(self.feature).__name__}, but got {type(feature).__name__}."
                )
            parts = self.feature(feature, self._feature_target(target))
            if isinstance(parts, Tensor):
                parts = {"total": parts}
            terms["feature"] = parts["total"]
            terms.update({f"feature_{name}": value for name, value in parts.items() if name != "total"})
            terms["total"] = classification + self.feature_weight * parts["total"]
        for name, loss in self.terms.items():
            terms[name] = loss(output, self._feature_target(target))
            terms["total"] = terms["total"] + loss.weight * terms[name]  # type: ignore[operator]
        return terms

    @property
    def needs(self) -> tuple[str, ...]:
        """Outputs of the network that the losses in ``terms`` need."""
        return tuple(dict.fromkeys(name for loss in self.terms.values() for name in loss.needs))  # type: ignore[union-attr]

    def init_centers(self, feature: Tensor, target: Tensor) -> bool:
        """Set the centres of the feature loss to class means, if it has centres.

        Args:
            feature: (N,D).
            target: (N,K) distributions.

        Returns:
            Whether the loss has centres.
        """
        initialise = getattr(self.feature, "init_centers", None)
        if initialise is None:
            return False
        initialise(feature, target)
        return True

    def _feature_target(self, target: Tensor) -> Tensor:
        """Return a distribution for the feature loss; for a set of classes, the uniform distribution over the set."""
        if getattr(self.classification, "target_kind", None) != "multi-hot":
            return target
        members = (target > 0).to(target.dtype)
        return members / members.sum(dim=1, keepdim=True)

    def _check_values(self, target: Tensor) -> None:
        for loss, values in ((self.classification, target), (self.feature, self._feature_target(target))):
            kind = getattr(loss, "target_kind", None)
            if kind is not None:
                check_target_kind(values, kind, type(loss).__name__)

    def extra_repr(self) -> str:
        """Show the weights."""
        further = "" if self.valence_arousal is None else f", valence_arousal_weight={self.valence_arousal_weight}"
        return f"feature_weight={self.feature_weight}{further}"


def _values(predicted: Any, known: Any) -> tuple[Tensor, Tensor]:
    """Return predictions and labels of valence and arousal, or raise an error for the missing one."""
    if not isinstance(predicted, Tensor):
        raise ValueError(
            "Expected argument `output` to contain `valence_arousal`, a tensor (B, 2), but got "
            f"{type(predicted).__name__}. Build the network with valence_arousal=True."
        )
    if not isinstance(known, Tensor):
        raise ValueError(
            f"Expected argument `valence_arousal`, a tensor (B, 2) with NaN if unknown, but got {type(known).__name__}."
        )
    return predicted, known


def _hard_targets(label: Tensor, num_classes: int) -> Tensor:
    """Convert integer labels (B,) to one-hot targets (B,K)."""
    if label.is_floating_point() or label.dtype is torch.bool:
        raise ValueError(f"Expected argument `target` to be (B, K) or integer labels (B,), but got {label.dtype} (B,).")
    if len(label) and not 0 <= int(label.min()) <= int(label.max()) < num_classes:
        raise ValueError(
            f"Expected argument `target` to contain labels within [0, {num_classes - 1}], "
            f"but got {int(label.min())} to {int(label.max())}."
        )
    return F.one_hot(label.long(), num_classes).float()


def _is_tensors(value: object) -> TypeGuard[Sequence[Tensor]]:
    return isinstance(value, Sequence) and all(isinstance(item, Tensor) for item in value)
