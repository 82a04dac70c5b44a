"""Reject tensors whose numbers cannot be weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mfer_lightning.errors import UserError


def check_numbers(tensors: Mapping[str, Tensor], targets: Mapping[str, Tensor], source: str) -> None:
    """Reject weights that are not finite, or not floating-point where the network has floats.

    Args:
        tensors: tensors of a file by our names.
        targets: the network's tensors by name.
        source: the file, for the message.

    Raises:
        UserError: with the name of the tensor.
    """
    for name, tensor in tensors.items():
        if targets[name].is_floating_point() and not tensor.is_floating_point():
            found = f"has {str(tensor.dtype).removeprefix('torch.')} numbers, which are not weights (quantised ones?)"
        elif not tensor.to(targets[name].dtype).isfinite().all():  # torch has no isfinite for float8
            found = "has numbers that are not finite: its training diverged"
        else:
            continue
        raise UserError(f"The weights of {source} were rejected: '{name}' {found}. Use another file.")
