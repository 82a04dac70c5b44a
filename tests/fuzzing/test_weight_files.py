"""Damaged weight files of every layout are loaded correctly, or rejected with one message and an unchanged network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzzing.campaign import SLOW, Kind, survives
from fuzzing.layouts import LAYOUTS, LayoutFile
from fuzzing.mutations import Draw, edited_bytes, edited_value, edited_zip
from fuzzing.planted import FAULTS, found
from fuzzing.tensors import ODD_WEIGHTS, damaged_weights, directory
from hypothesis import strategies as st
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.nn import Network, load_weights

#: Number of examples per layout in the quick tests.
QUICK_EACH = 4
#: Layouts of the quick tests. Each of them has its own reader, wrapper or format.
QUICK_LAYOUTS = (
    "own checkpoint",
    "own safetensors",
    "own with an adapter",
    "released MFER",
    "before torch 1.6",
)
#: Replacements for a weight that a safetensors file can contain.
_DENSE = tuple(w for w in ODD_WEIGHTS if isinstance(w, Tensor) and w.numel() < 99 and w.device.type == "cpu")
_PLAIN = tuple(w for w in _DENSE if w.layout is torch.strided)


class WeightFile:
    """Damage the file of one layout; remember whether the last damage left the original checksums in place."""

    def __init__(self, layout: LayoutFile, state: dict[str, Tensor], path: Path) -> None:
        self.layout, self.state, self.content = layout, state, path.read_bytes()
        self.kept = True

    def damage(self, draw: Draw, path: Path) -> None:
        plain = self.layout.end == ".safetensors"
        what = draw(st.sampled_from(("bytes", "bytes", "weights", "weights", *(() if plain else ("zip", "around")))))
        self.kept = what == "bytes" and self.layout.zipped and not plain
        if what == "bytes":
            path.write_bytes(edited_bytes(draw, self.content, self._hot(plain)))
        elif what == "weights" and plain:
            weights = {str(name): value for name, value in damaged_weights(draw, self.state, _PLAIN).items()}
            self.layout.save({name: value.contiguous().clone() for name, value in weights.items()}, path)
        elif what == "weights":
            self.layout.save(self.layout.wrap(damaged_weights(draw, self.state)), path)
        elif what == "zip" and self.layout.zipped:
            path.write_bytes(edited_zip(draw, self.content))
        else:
            around = edited_value(draw, {"epoch": 3, "state_dict": {}, "hyper_parameters": {"arch": ["x"]}})
            if isinstance(around, dict) and "state_dict" in around:
                around["state_dict"] = around["state_dict"] or self.state
            self.layout.save(around, path)

    def _hot(self, plain: bool) -> list[range]:
        if plain:
            return [range(8 + int.from_bytes(self.content[:8], "little"))]
        return directory(self.content) if self.layout.zipped else [range(3_000)]


@cache
def built(name: str) -> tuple[Network, dict[str, Tensor]]:
    """Return the network of a layout and its weights before loading."""
    network = LAYOUTS[name].build()
    return network, {key: value.clone() for key, value in network.state_dict().items()}


def reader(name: str) -> Callable[[Path], dict[str, Tensor]]:
    """Make a function that loads a file into the network of a layout, and returns the weights of the network."""

    def read(path: Path) -> dict[str, Tensor]:
        network, before = built(name)
        network.load_state_dict(before)
        try:
            load_weights(network, path)
        except UserError:
            if not all(torch.equal(value, before[key]) for key, value in network.state_dict().items()):
                raise AssertionError("rejected, but the network has changed") from None
            raise
        return {key: value.clone() for key, value in network.state_dict().items()}

    return read


def kind_of(name: str, folder: Path) -> Kind:
    """One layout as a kind of input."""
    layout, read = LAYOUTS[name], reader(name)
    path = folder / f"{name.replace(' ', '_')}{layout.end}"
    torch.manual_seed(0)
    state = {key: value.contiguous().clone() for key, value in layout.state(layout.build()).items()}
    layout.save(layout.wrap(state), path)
    damages, whole = WeightFile(layout, state, path), read(path)

    def check(found: dict[str, Tensor]) -> str:
        if not all(bool(value.isfinite().all()) for value in found.values()):
            return "numbers that are not finite"
        same = all(torch.equal(value, whole[key]) for key, value in found.items())
        return "changed numbers without an error" if damages.kept and not same else ""

    return Kind(path, damages.damage, read, check, "mfer_lightning.nn.weights.load:read_state", _other)


def _other(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, QUICK_EACH) for name in QUICK_LAYOUTS),
        *(pytest.param(n, SLOW, marks=pytest.mark.slow) for n in LAYOUTS),
    ],
)
def test_damaged_file_is_read_correctly_or_rejected(name: str, tmp_path: Path, count: int) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    survives(kind_of(name, tmp_path / "whole"), tmp_path / "damaged", count)


@pytest.mark.parametrize("name", ["own checkpoint", pytest.param("AdaFace", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", FAULTS)
def test_harness_detects_a_planted_fault(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    assert found(kind_of(name, tmp_path / "whole"), fault, tmp_path / "damaged", monkeypatch)
