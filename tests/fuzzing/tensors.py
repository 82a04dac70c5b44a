"""Damage the tensors of a state dict, and locate the metadata of a ``torch.save`` file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from fuzzing.mutations import Draw
from hypothesis import strategies as st
from torch import Tensor

#: Replacements for a weight: nothing, another shape, another type, non-finite numbers, not a tensor.
ODD_WEIGHTS = (
    *(None, "x", 1.0, [1.0], {}),
    *(torch.zeros(()), torch.zeros(0), torch.zeros(3, 3), torch.zeros(1).expand(1 << 40), torch.eye(3).to_sparse()),
    *(torch.full((8,), float("nan")), torch.zeros(8, dtype=torch.int64), torch.zeros(8, dtype=torch.complex64)),
    *(torch.zeros(8, dtype=torch.float8_e4m3fn), torch.zeros(8, dtype=torch.float64), torch.empty(8, device="meta")),
)


def directory(content: bytes) -> list[range]:
    """Return the positions that describe the content of a zip file: the directory at its end, and the pickle."""
    pickle = content.find(b"data.pkl")
    return [range(max(0, len(content) - 6_000), len(content)), range(max(0, pickle - 60), pickle + 6_000)]


def damaged_weights(draw: Draw, weights: Mapping[str, Tensor], odd: tuple[Any, ...] = ODD_WEIGHTS) -> dict[Any, Any]:
    """Change one or two weights or their names."""
    found: dict[Any, Any] = dict(weights)
    for _ in range(draw(st.integers(1, 2))):
        names = sorted(name for name, value in found.items() if isinstance(name, str) and _is_dense(value))
        name = names[draw(st.integers(0, len(names) - 1))]
        what = draw(st.sampled_from(("odd", "odd", "same", "drop", "rename", "flat", "slice", "whole")))
        tensor = found.pop(name)
        if what == "odd":
            found[name] = odd[draw(st.integers(0, len(odd) - 1))]
        elif what == "same":  # with the correct shape
            kind = draw(st.sampled_from((torch.int64, torch.float16, torch.bool, torch.complex64, torch.float64)))
            found[name] = torch.zeros(tensor.shape, dtype=kind)
        elif what == "whole":
            found[name] = torch.full(tensor.shape, draw(st.sampled_from((float("nan"), float("inf"), 1e38, -1.0))))
        elif what == "rename":
            found[draw(st.sampled_from((f"{name}x", "", 1, name.partition(".")[2], f"x.{name}", "\x1b[2J")))] = tensor
        elif what == "flat":
            found[name] = tensor.flatten()
        elif what == "slice":
            found[name] = tensor[:0] if tensor.dim() else tensor[None]
    return found


def _is_dense(value: Any) -> bool:
    """Whether a value can be sliced; a sparse tensor from an earlier change cannot."""
    return isinstance(value, Tensor) and value.layout == torch.strided
