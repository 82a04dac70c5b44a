"""Checks shared by all losses (shapes, kinds of target), and float32 under autocast."""

from __future__ import annotations

import torch
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.losses.base import TargetKind
from mfer_lightning.plurals import counted


def check_choice(name: str, value: str, legal: tuple[str, ...]) -> str:
    """Reject a value that is not in ``legal``.

    Example:
        >>> check_choice("covariance", "full", ("identity", "diagonal"))
        Traceback (most recent call last):
            ...
        ValueError: Expected argument `covariance` to be one of ('identity', 'diagonal'), but got 'full'.
    """
    if value not in legal:
        raise ValueError(f"Expected argument `{name}` to be one of {legal}, but got {value!r}.")
    return value


def check_logits(logits: Tensor, target: Tensor) -> None:
    """Check that logits and target are both (B,K), B >= 1.

    Raises:
        ValueError: if they are not. If the target is 1-D, as hard labels are, the message explains how to convert it.
    """
    if logits.ndim != 2 or logits.shape[0] == 0:
        raise ValueError(f"Expected argument `logits` to have shape (B, K), B >= 1, but got {tuple(logits.shape)}.")
    _check_target(target, logits.shape[0], logits.shape[1])


def check_feature(feature: Tensor, target: Tensor, num_classes: int, feature_dim: int) -> None:
    """Check that a feature is (B,D) and its target (B,K), B >= 1.

    Raises:
        ValueError: if they are not.
    """
    if feature.ndim != 2 or feature.shape[1] != feature_dim or feature.shape[0] == 0:
        raise ValueError(
            f"Expected argument `feature` to have shape (B, {feature_dim}), B >= 1, but got {tuple(feature.shape)}."
        )
    _check_target(target, feature.shape[0], num_classes)


def check_valence_arousal(prediction: Tensor, target: Tensor) -> None:
    """Check that predictions and labels of valence and arousal are floating-point tensors of shape (B,2).

    Raises:
        ValueError: if they are not.
    """
    for name, values in (("prediction", prediction), ("target", target)):
        if values.ndim != 2 or values.shape[1] != 2 or not values.is_floating_point():
            raise ValueError(
                f"Expected argument `{name}` to be a floating-point tensor of shape (B, 2), valence and arousal, but "
                f"got {values.dtype} of shape {tuple(values.shape)}."
            )
    if len(prediction) != len(target):
        raise ValueError(
            f"Expected argument `target` to have {counted(len(prediction), 'row')}, one per prediction, but got "
            f"{len(target)}. A method that trains on some rows of a batch must pass the values of these rows to the "
            "objective (valence_arousal=...)."
        )


def _check_target(target: Tensor, batch: int, num_classes: int) -> None:
    if target.shape != (batch, num_classes) or not target.is_floating_point():
        hint = " Convert labels to targets with `F.one_hot(label, K).float()`." if target.ndim == 1 else ""
        raise ValueError(
            f"Expected argument `target` to be a floating-point tensor of shape ({batch}, {num_classes}), "
            f"but got {target.dtype} of shape {tuple(target.shape)}.{hint}"
        )


def check_target_kind(target: Tensor, kind: TargetKind, loss: str, tolerance: float = 1e-3) -> None:
    """Check the values of a target. This synchronises with the device, so call it once and not in every step.

    Args:
        target: (B,K).
        kind: kind of target that the loss accepts; a one-hot target is also a distribution, and both are sets of
            classes.
        loss: name of the loss, for the error message.
        tolerance: maximum deviation of a row's sum from 1.

    Raises:
        UserError: if the target is not of that kind; the message suggests suitable settings.

    Example:
        >>> check_target_kind(torch.tensor([[0.5, 0.5]]), "distribution", "CrossEntropy")
        >>> check_target_kind(torch.tensor([[1.0, 1.0]]), "distribution", "CrossEntropy")
        Traceback (most recent call last):
            ...
        mfer_lightning.errors.UserError: CrossEntropy takes targets that are distributions over the classes ...
    """
    target = target.detach()
    legal = bool((target >= 0).all()) and bool(torch.isfinite(target).all())
    if kind == "multi-hot":
        if not (legal and bool((target > 0).any(dim=1).all())):
            raise UserError(
                f"{loss} takes targets with at least one class per face (entries >= 0, one or more > 0), "
                "but at least one row has no class or an invalid entry. Use dataset.target=multi, or another loss."
            )
        return
    if not (legal and bool(((target.sum(dim=1) - 1).abs() <= tolerance).all())):
        raise UserError(
            f"{loss} takes targets that are distributions over the classes (entries >= 0 that sum to 1), but one row "
            "is not a distribution. Targets with several classes at once (dataset.target=multi) need MultiTargetLoss."
        )
    if kind == "one-hot" and not bool((target.amax(dim=1) >= 1 - tolerance).all()):
        raise UserError(
            f"{loss} takes hard labels only, but got a soft target. Train on hard labels (for example "
            "dataset.target=majority, without mixup and cutmix), or choose a loss that takes soft targets, "
            "for example ce, focal, center, lgm or dsf."
        )


def at_least_float32(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Convert tensors to a common floating-point type of at least float32 (float64 stays, for gradcheck).

    Example:
        >>> [t.dtype for t in at_least_float32(torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1))]
        [torch.float32, torch.float32]
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return tuple(tensor.to(dtype) for tensor in tensors)


def no_autocast(tensor: Tensor) -> torch.autocast:
    """Return a context that disables autocast on the device of a tensor, because losses are computed in float32."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)
