"""The parts of ``mfer benchmark``: what each measures, and where it makes sense."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from mfer_lightning.errors import UserError, nearest


class Part(NamedTuple):
    """What a part measures, and whether a GPU has anything to do with it."""

    title: str
    on_gpu: bool


#: Parts in the order in which they run.
PARTS = {
    "train": Part("a training step", on_gpu=True),
    "inference": Part("a forward pass", on_gpu=True),
    "convolutions": Part("every way to compute the convolutions of MFER-Base", on_gpu=True),
    "end_to_end": Part("mfer train, files to weights, against the bare step", on_gpu=True),
    "small": Part("the small model of experiment=ferplus_small, files to weights", on_gpu=False),
    "loader": Part("faces read and normalised", on_gpu=True),
    "overhead": Part("what the framework adds to a bare loop", on_gpu=False),
    "startup": Part("seconds to the help and to the first step", on_gpu=False),
    "memory": Part("peak memory of training", on_gpu=True),
    "ranks": Part("one rank with all threads against as many ranks of one thread", on_gpu=False),
}


def chosen_parts(given: Any, device: str) -> list[str]:
    """Resolve the option ``parts``.

    Args:
        given: ``"all"``, a name or a list of names.
        device: ``"cpu"`` or ``"cuda"``.

    Returns:
        Names in the order in which they run.

    Raises:
        UserError: for a name that is no part, or that is not measured on this device.

    Example:
        >>> chosen_parts(["memory", "train"], "cuda")
        ['train', 'memory']
    """
    if given == "all":
        return [name for name, part in PARTS.items() if part.on_gpu or device == "cpu"]
    wanted = given if isinstance(given, list) else [given]
    for name in wanted:
        if name not in PARTS:
            raise UserError(f"parts={name}: there is no such part: {nearest(str(name), PARTS)}")
        if device != "cpu" and not PARTS[name].on_gpu:
            raise UserError(f"parts={name} is measured on the CPU only: add device=cpu.")
    if not wanted:
        raise UserError(f"parts=[]: name at least one of {', '.join(PARTS)}, or parts=all.")
    return [name for name in PARTS if name in wanted]


def left_out(parts: Iterable[str]) -> list[str]:
    """Names of the parts that are not among these."""
    return [name for name in PARTS if name not in set(parts)]
