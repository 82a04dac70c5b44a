"""Resolve the options of ``mfer benchmark`` that select what to measure: parts, baselines, batch sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mfer_lightning.benchmark.device import ARITHMETIC, Device
from mfer_lightning.errors import UserError, nearest

#: All parts in the order in which they run, and the parts that are measured on the CPU only.
PARTS = (
    "train",
    "inference",
    "convolutions",
    "end_to_end",
    "small",
    "loader",
    "overhead",
    "startup",
    "memory",
    "ranks",
)
CPU_ONLY = ("small", "overhead", "startup", "ranks")


def chosen_parts(given: Any, device: Device) -> list[str]:
    """Resolve the option ``parts``.

    Args:
        given: ``"all"``, a name or a list of names.
        device: device to measure.

    Returns:
        Names in the order in which they run.

    Raises:
        UserError: for an unknown part, or one that is not measured on this device.

    Example:
        >>> from mfer_lightning.benchmark.device import GPU
        >>> chosen_parts(["memory", "train"], GPU)
        ['train', 'memory']
    """
    if given == "all":
        return [name for name in PARTS if device.is_cpu or name not in CPU_ONLY]
    chosen = _chosen("parts", "part", given, PARTS, ", or parts=all")
    for name in chosen:
        if name in CPU_ONLY and not device.is_cpu:
            raise UserError(f"parts={name} is measured on the CPU only: add device=cpu.")
    return chosen


def left_out(parts: Iterable[str]) -> list[str]:
    """Return the names of all parts that are not in ``parts``."""
    return [name for name in PARTS if name not in set(parts)]


def chosen_baselines(given: Any, device: Device) -> tuple[str, ...]:
    """Resolve the option ``baselines``.

    Args:
        given: ``"auto"``, a name or a list of names.
        device: device to measure.

    Returns:
        Precisions, in the order of :data:`~mfer_lightning.benchmark.device.ARITHMETIC`.

    Raises:
        UserError: if a precision is unknown or not available on the device.
    """
    if given == "auto":
        return device.baselines
    chosen = _chosen("baselines", "precision", given, ARITHMETIC)
    if "tf32" in chosen and device.is_cpu:
        raise UserError("baselines=tf32: TF32 exists only on NVIDIA GPUs. Choose float32 or bfloat16.")
    return tuple(chosen)


def chosen_batches(given: Any, device: Device) -> Sequence[int]:
    """Resolve the option ``batch``.

    Args:
        given: ``"auto"``, a number of faces per step or a list of numbers.
        device: device to measure.

    Raises:
        UserError: if a value is not an integer of at least 1, or the list is empty.
    """
    batches: Sequence[Any] = device.batches if given == "auto" else _listed(given)
    for batch in batches:
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise UserError(f"batch={given}: choose auto, an integer of at least 1, or a list of such integers.")
    if not batches:
        raise UserError("batch=[]: name at least one number of faces per step, or batch=auto.")
    return batches


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _chosen(option: str, what: str, given: Any, known: Iterable[str], hint: str = "") -> list[str]:
    """Check the given names, and return them in the order of the known ones."""
    wanted = _listed(given)
    for name in wanted:
        if name not in known:
            raise UserError(f"{option}={name}: there is no such {what}: {nearest(str(name), known)}")
    if not wanted:
        raise UserError(f"{option}=[]: name at least one of {', '.join(known)}{hint}.")
    return [name for name in known if name in wanted]
