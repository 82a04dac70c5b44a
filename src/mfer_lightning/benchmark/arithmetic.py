"""The arithmetic of the plain baseline, and the ceiling that goes with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from mfer_lightning.benchmark.device import Device
from mfer_lightning.errors import UserError, nearest

#: float32, float32 whose products round factors to TF32 (NVIDIA since Ampere), bfloat16 by autocast.
ARITHMETIC = ("float32", "tf32", "bfloat16")


@contextmanager
def arithmetic(name: str, device: Device) -> Iterator[None]:
    """Compute so within the block.

    Args:
        name: one of :data:`ARITHMETIC`.
        device: where.
    """
    precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    if name != "bfloat16":  # torch's default rounds factors of convolutions, and not those of products
        torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        with device.autocast(name == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions


def chosen_baselines(given: Any, device: Device) -> tuple[str, ...]:
    """Resolve the option ``baselines``.

    Args:
        given: ``"auto"``, a name or a list of names.
        device: where they are measured.

    Raises:
        UserError: for what is no arithmetic, or none of this device.
    """
    wanted: Sequence[Any] = device.baselines if given == "auto" else given if isinstance(given, list) else [given]
    for name in wanted:
        if name not in ARITHMETIC:
            raise UserError(f"baselines={name}: there is no such arithmetic: {nearest(str(name), ARITHMETIC)}")
        if name == "tf32" and device.is_cpu:
            raise UserError("baselines=tf32: TF32 is arithmetic of NVIDIA GPUs. Choose float32 or bfloat16.")
    if not wanted:
        raise UserError(f"baselines=[]: name at least one of {', '.join(ARITHMETIC)}.")
    return tuple(name for name in ARITHMETIC if name in wanted)
