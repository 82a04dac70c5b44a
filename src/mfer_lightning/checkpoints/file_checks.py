"""Check the content of a model file before building its network: sizes, types, names, shapes.

A file may describe a network that does not fit into memory, or tensors that are larger than the stored data. Everything
is compared with limits before memory is allocated for it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from mfer_lightning.errors import FORMULA, UserError, excerpt, nearest
from mfer_lightning.nn.weights.read import is_stored_whole

#: Limits of a description: nesting depth, number of values, length of strings. A training configuration has a few
#: hundred values.
_DEEPEST, _MOST_VALUES, _LONGEST_TEXT = 16, 20_000, 10_000
#: Parts of option names that mark counts and sides in pixels, and the limits of counts, sides and all other numbers.
_COUNTS, _SIDES = ("depth", "layer", "block", "num", "repeat", "stage", "group", "scale"), ("size", "resolution")
_MOST_COUNT, _LONGEST_SIDE, _WIDEST = 1000, 1024, 1 << 22
#: Maximum bytes of the non-persistent buffers of a network (such as Swin's position indices), which take 202 MB in
#: timm's ``beit_large_patch16_512``.
_MOST_TABLE_BYTES = 256 << 20
#: Maximum bytes of weights. Only the very largest models in timm have more, such as ``vit_7b_patch16_dinov3`` (27 GB).
_MOST_WEIGHT_BYTES = 16 << 30
#: Maximum characters of a class name.
_LONGEST_NAME = 100


def check_plain(value: Any, source: Path) -> None:
    """Reject a description that is nested too deeply, is too long, or contains anything but plain values.

    Args:
        value: the description.
        source: the file, for messages.

    Raises:
        UserError: if it is rejected.
    """
    left = _MOST_VALUES
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > _DEEPEST or (isinstance(item, str) and len(item) > _LONGEST_TEXT):
            raise UserError(
                f"{source} does not describe a model: its description is too long or nested too "
                "deeply. Use another file."
            )
        if isinstance(item, Mapping):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, (list, tuple)):
            waiting += [(part, depth + 1) for part in item]
        elif item is not None and not isinstance(item, (str, bool, int, float)):
            raise UserError(f"{source} does not describe a model: it contains a {type(item).__name__}.")


def check_numbers(config: Mapping[str, Any], source: Path, key: str = "network") -> None:
    """Reject unreasonable sizes in the description of a network or preprocessing.

    Args:
        config: plain nested values.
        source: the file, for messages.
        key: name of ``config``, for messages.

    Raises:
        UserError: if a number is not finite or is out of range.
    """
    for name, value in config.items():
        for number in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(number, Mapping):
                check_numbers(number, source, f"{key}.{name}")
            elif isinstance(number, (list, tuple)):
                check_numbers({str(name): number}, source, key)
            elif isinstance(number, (int, float)) and not _sane(str(name), number):
                raise UserError(f"{source} cannot be used: {key}.{name} is {number}, which is out of range.")


def _sane(name: str, number: float) -> bool:
    if isinstance(number, float) and not math.isfinite(number):
        return False
    if any(word in name for word in _SIDES):
        return abs(number) <= _LONGEST_SIDE
    return abs(number) <= (_MOST_COUNT if any(word in name for word in _COUNTS) else _WIDEST)


@contextmanager
def parts_at_most(weights: int, source: Path) -> Iterator[None]:
    """Within the block, stop building a network that has many more parameters or modules than its file has weights.

    Args:
        weights: number of tensors in the file.
        source: the file, for messages.

    Raises:
        UserError: as soon as there are too many parameters or modules.
    """
    own = threading.get_ident()
    left = {"parameters": 2 * weights + 200, "modules": 20 * weights + 2000}

    def count(kind: str) -> None:
        if threading.get_ident() != own:
            return
        left[kind] -= 1
        if left[kind] < 0:
            raise UserError(
                f"{source} cannot be used: its network has many more {kind} than the file has weights ({weights})."
            )

    hooks = (
        register_module_parameter_registration_hook(lambda *_: count("parameters")),
        register_module_module_registration_hook(lambda *_: count("modules")),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def check_tables(network: nn.Module, source: Path) -> bool:
    """Check the size of the non-persistent buffers of a network: computed tables that checkpoints do not contain.

    Args:
        network: the network, on the meta device.
        source: the file, for messages.

    Returns:
        Whether it has such buffers.

    Raises:
        UserError: if they are too large.
    """
    stored = set(network.state_dict())
    hidden = [buffer for name, buffer in network.named_buffers() if name not in stored]
    total = sum(b.numel() * b.element_size() for b in hidden)
    if total > _MOST_TABLE_BYTES:
        raise UserError(f"{source} cannot be used: its network would need {total:,} bytes of non-persistent buffers.")
    return bool(hidden)


def check_weights(weights: Mapping[str, Any], source: Path) -> None:
    """Reject weights that are not plain tensors on the CPU, are larger than the stored data, or are too large in total.

    Args:
        weights: name -> tensor.
        source: the file, for messages.

    Raises:
        UserError: if they are rejected.
    """
    for name, value in weights.items():
        if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
            raise UserError(f"{source}: the weight {str(name)[:80]!r} is not a plain tensor.")
        if value.is_quantized or value.is_complex():
            raise UserError(
                f"{source}: the weight {str(name)[:80]!r} is {value.dtype}, which no network of this package uses."
            )
        if not is_stored_whole(value):
            raise UserError(f"{source}: the weight {str(name)[:80]!r} claims to be larger than its stored data.")
    total = sum(value.numel() * value.element_size() for value in weights.values())
    if total > _MOST_WEIGHT_BYTES:
        raise UserError(f"{source} has {total:,} bytes of weights, but at most {_MOST_WEIGHT_BYTES:,} are loaded.")


def check_finite(weights: Mapping[str, Tensor], source: Path) -> None:
    """Reject weights with NaN or infinite values.

    Args:
        weights: name -> tensor.
        source: the file, for messages.

    Raises:
        UserError: if there are any; the message names the first such weight.
    """
    for name, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UserError(f"{source} contains weights that are not finite ({name}); the training probably diverged.")


def check_class_names(names: Any, source: Path) -> None:
    """Reject class names that are not distinct and printable, or that a spreadsheet would interpret as formulas.

    Class names are written to headers, tables and pages.

    Args:
        names: the class names.
        source: the file, for messages.

    Raises:
        UserError: if they are rejected.
    """
    whole = isinstance(names, (list, tuple)) and all(
        isinstance(n, str) and n.isprintable() and not n.startswith(FORMULA) and 0 < len(n) <= _LONGEST_NAME
        for n in names
    )
    if not whole or len(set(names)) != len(names):
        raise UserError(
            f"{source} does not describe a model: its class names are {excerpt(names)} (they must be distinct "
            "and printable, and must not start like a spreadsheet formula)."
        )


def check_fit(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: Path) -> None:
    """Reject weights whose names, shapes or kinds of dtype (floating point or not) differ from those of the network.

    Args:
        expected: name -> tensor in the network.
        weights: name -> tensor in the file.
        source: the file, for messages.

    Raises:
        UserError: if they differ; the message lists the first three differences.
    """
    both = [(name, value, weights[name]) for name, value in expected.items() if name in weights]
    wrong = [f"{n} is {tuple(w.shape)}, expected {tuple(v.shape)}" for n, v, w in both if w.shape != v.shape]
    wrong += [
        f"{n} is {w.dtype}, expected {v.dtype}" for n, v, w in both if w.is_floating_point() != v.is_floating_point()
    ]
    wrong += [f"{name} is missing" for name in expected if name not in weights]
    wrong += [f"{name} is not in the network ({nearest(name, expected)})" for name in weights if name not in expected]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"{source}: the weights do not fit the network that it describes: {'; '.join(wrong[:3])}{more}."
        )
