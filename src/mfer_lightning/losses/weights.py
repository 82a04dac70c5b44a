"""Class weights: compute them from class counts, and validate those given by the user."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.losses.checks import check_choice
from mfer_lightning.plurals import counted


def class_weights_from_counts(
    class_counts: Sequence[int], scheme: str = "inverse", beta: float = 0.999
) -> tuple[float, ...]:
    """Compute class weights from the class counts of the training set, with a mean of 1 over the training faces.

    Because of this mean, the scale of the loss does not depend on the scheme, so learning rate and ``feature_weight``
    need not be adjusted.

    Args:
        class_counts: number of training faces of each of the K classes, >= 1.
        scheme: ``inverse`` (1 / n), ``sqrt`` (1 / sqrt n), or ``effective`` (the inverse of the effective number
            of samples of Cui et al., CVPR 2019, arXiv 1901.05555: (1 - beta) / (1 - beta^n)).
        beta: parameter of ``effective``, within [0, 1).

    Returns:
        K weights.

    Raises:
        ValueError: if a class has no face or an argument is out of range.

    Example:
        >>> [round(w, 2) for w in class_weights_from_counts([90, 10])]
        [0.56, 5.0]
    """
    check_choice("scheme", scheme, ("inverse", "sqrt", "effective"))
    counts = check_class_counts(class_counts)
    if scheme == "inverse":
        raw = [1 / n for n in counts]
    elif scheme == "sqrt":
        raw = [1 / math.sqrt(n) for n in counts]
    else:
        if check_number("beta", beta, 0.0, 1.0) == 1:
            raise ValueError("Expected argument `beta` to be a number within [0, 1), but got 1.")
        raw = [(1 - beta) / (1 - beta**n) for n in counts]
    mean = sum(n * w for n, w in zip(counts, raw, strict=True)) / sum(counts)
    return tuple(w / mean for w in raw)


def check_class_counts(class_counts: Sequence[int]) -> tuple[float, ...]:
    """Validate class counts and return them as floats.

    An empty class is rejected: its weight, or the log of its prior, would be infinite.

    Raises:
        ValueError: if there are fewer than two counts, or a count is not a finite number > 0.
    """
    counts = tuple(float(n) for n in class_counts)
    if len(counts) < 2 or not all(math.isfinite(n) and n > 0 for n in counts):
        raise ValueError(
            f"Expected argument `class_counts` to be at least 2 counts > 0, one per class, "
            f"but got {tuple(class_counts)}."
        )
    return counts


def class_weight_buffer(class_weights: Sequence[float] | None) -> Tensor | None:
    """Validate class weights and convert them to a float32 tensor (K,); None if there are none."""
    if class_weights is None:
        return None
    weights = tuple(float(w) for w in class_weights)
    if len(weights) < 2 or not all(math.isfinite(w) and w >= 0 for w in weights) or sum(weights) == 0:
        raise ValueError(
            "Expected argument `class_weights` to be at least 2 numbers >= 0 that are not all 0, one per class, "
            f"but got {tuple(class_weights)}."
        )
    return torch.tensor(weights, dtype=torch.float32)


def weigh(target: Tensor, class_weights: Tensor | None) -> Tensor:
    """Multiply targets (B,K) by class weights (K,); None: leave them unchanged.

    Raises:
        ValueError: if the number of classes differs.
    """
    if class_weights is None:
        return target
    if class_weights.shape != target.shape[1:]:
        raise ValueError(
            f"Expected argument `class_weights` to contain {counted(target.shape[1], 'weight')}, one per class, "
            f"but got a tensor of shape {tuple(class_weights.shape)}."
        )
    return target * class_weights.to(target.dtype)
