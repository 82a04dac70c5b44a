"""Regional compilation: which blocks are compiled, the number of graphs, and unchanged results."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import DropPath
from torch._dynamo.testing import CompileCounterWithBackend

from mfer_lightning.nn import MFER
from mfer_lightning.nn.regions import TensorDropPath, compile_blocks, count_kinds, repeated_blocks

TINY = {"name": "convnext_atto", "options": {"depths": [1, 1, 4, 2], "dims": [8, 16, 24, 32]}, "drop_path_rate": 0.3}


def classes(blocks):
    return [type(block).__name__ for block in blocks]


@pytest.mark.parametrize(
    ("backbone", "attention", "expected"),
    [
        (TINY, "ds", {"ConvNeXtBlock": 8, "DSAttention": 2}),
        ("resnet18", "none", {"BasicBlock": 8}),
        ({"name": "swin_tiny_patch4_window7_224", "options": {"img_size": 56}}, "none", {"SwinTransformerBlock": 12}),
    ],
)
def test_repeated_blocks_are_the_innermost_ones(backbone, attention, expected):
    with torch.device("meta"):
        network = MFER(backbone, 3, attention=attention)
    found = classes(repeated_blocks(network.backbone))
    assert {name: found.count(name) for name in expected} == expected
    assert set(found) == set(expected)


def test_each_kind_of_block_is_compiled_once_for_any_stochastic_depth():
    torch._dynamo.reset()
    network = MFER(TINY, 3).train()
    counter = CompileCounterWithBackend("eager")
    blocks = compile_blocks(network, backend=counter)
    before = list(network.state_dict())
    for _ in range(3):
        network(torch.randn(2, 3, 32, 32))["logits"].sum().backward()
    assert len(blocks) == 10
    assert count_kinds(blocks) <= counter.frame_count <= count_kinds(blocks) + 2  # the first blocks drop nothing
    assert list(network.state_dict()) == before
    assert not any(isinstance(module, DropPath) for module in network.modules())


@pytest.mark.slow
def test_compiled_blocks_match_eager_ones():
    torch._dynamo.reset()
    plain = MFER({**TINY, "drop_path_rate": 0.0}, 3).double().train()
    compiled = copy.deepcopy(plain)
    compile_blocks(compiled, backend="aot_eager")
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for network in (plain, compiled):
        network(image)["logits"].square().sum().backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), compiled.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


@pytest.mark.parametrize("scale", [True, False])
def test_stochastic_depth_matches_timm_in_rate_and_mean(scale):
    torch.manual_seed(0)
    x = torch.ones(20_000, 2)
    kept = TensorDropPath(0.3, scale_by_keep=scale)(x)
    assert (kept[:, 0] == kept[:, 1]).all()  # whole samples
    assert kept.gt(0).float().mean().item() == pytest.approx(0.7, abs=0.02)
    torch.manual_seed(0)
    assert kept.mean().item() == pytest.approx(DropPath(0.3, scale)(x).mean().item(), abs=0.02)


def test_network_without_repeated_blocks_is_unchanged():
    assert compile_blocks(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())) == []
