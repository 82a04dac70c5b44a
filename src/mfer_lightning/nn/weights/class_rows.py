"""Match the classification heads of a file to a network's classes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from mfer_lightning.emotions import remap
from mfer_lightning.nn.base import Network


def class_rows(theirs: Sequence[str], ours: Sequence[str]) -> list[int] | None:
    """Return the position of each of our classes among theirs; None if one of ours is missing.

    Example:
        >>> class_rows(["neutral", "happiness", "anger"], ["anger", "neutral"])
        [2, 0]
        >>> class_rows(["neutral", "happiness"], ["boredom", "neutral"])
    """
    return remap(ours, theirs) if set(ours) <= set(theirs) else None


def output_layers(model: Network) -> tuple[str, ...]:
    """Return the names of the network's layers whose rows are classes; empty for heads that do not list theirs."""
    head = getattr(model, "head", None)
    return tuple(f"head.{name}" for name in getattr(head, "output_layers", ()))


def take_class_rows(model: Network, state: Mapping[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
    """Select and reorder the classes of a state dict in our layout.

    Args:
        model: the network that the tensors are for.
        state: tensors, keyed by the names in the network.
        rows: for each class of the network, its row in the file.

    Returns:
        The state dict. Only tensors of :func:`output_layers` change; those with too few rows are left unchanged, and
        loading rejects them.
    """
    names = {f"{layer}.{part}" for layer in output_layers(model) for part in ("weight", "bias")}

    def taken(name: str, tensor: Tensor) -> Tensor:
        return tensor[list(rows)] if name in names and tensor.ndim and len(tensor) > max(rows) else tensor

    return {name: taken(name, tensor) for name, tensor in state.items()}
