"""Reject tensors whose values cannot be weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mfer_lightning.errors import UserError


def check_numbers(tensors: Mapping[str, Tensor], targets: Mapping[str, Tensor], source: str) -> None:
    """Reject weights that are not finite, or not floating-point where the network has floats.

    Args:
        tensors: tensors from the file, keyed by the names in the network.
        targets: the network's tensors by name.
        source: the file, for the message.

    Raises:
        UserError: with the name of the tensor.
    """
    for name, tensor in tensors.items():
        if targets[name].is_floating_point() and not tensor.is_floating_point():
            dtype = str(tensor.dtype).removeprefix("torch.")
            found = f"has dtype {dtype}, but floating-point weights are needed (is the file quantised?)"
        elif not tensor.to(targets[name].dtype).isfinite().all():  # torch has no isfinite for float8
            found = "contains NaN or infinite values (the training probably diverged)"
        else:
            continue
        raise UserError(f"The weights of {source} were rejected: '{name}' {found}. Use another file.")
