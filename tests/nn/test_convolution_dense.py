"""The dense convolution equals torch's in all dtypes and memory formats, and works with torch's other features."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from nn.convolutions import gradients
from packaging.version import Version
from torch import nn
from torch.utils.checkpoint import checkpoint

from mfer_lightning.nn.convolution import Ways, conv_within_map, convolve, forced_ways, plain_convolutions, unfold
from mfer_lightning.nn.convolution import dense as operators
from mfer_lightning.nn.convolution.choice import LIBRARY, TURNED, UNFOLD

WAYS = [LIBRARY, UNFOLD, TURNED]
#: Batch, channels, height, width: square, not square, smaller than the kernel, empty.
MAPS = [(2, 4, 7, 7), (3, 3, 5, 9), (2, 8, 2, 3), (1, 2, 1, 1), (0, 4, 7, 7)]
KERNELS = [(1, 1), (3, 3), (5, 5), (7, 7), (3, 7)]


def plain(x, weight, bias=None):
    return F.conv2d(x, weight, bias, padding=(weight.shape[2] // 2, weight.shape[3] // 2))


def inputs(shape=(2, 4, 7, 7), kernel=(7, 7), features=5, dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=dtype)
    weight = torch.randn(features, shape[1], *kernel, dtype=dtype) / (shape[1] * kernel[0] * kernel[1]) ** 0.5
    return x, weight, torch.randn(features, dtype=dtype)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", MAPS)
@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_gradients_match_torch(ways, shape, kernel, dtype):
    x, weight, bias = inputs(shape, kernel, dtype=dtype)
    for given in ((x, weight, bias), (x, weight)):
        wanted = gradients(plain, *given)
        found = gradients(lambda x, w, b=None: convolve(x, w, b, ways), *given)
        for mine, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("ways", WAYS)
def test_gradients_match_finite_differences(ways):
    given = tuple(t.requires_grad_() for t in inputs((2, 2, 3, 4), (5, 3), 2))
    assert torch.autograd.gradcheck(lambda *a: convolve(*a, ways), given)


@pytest.mark.parametrize("ways", WAYS)
def test_bfloat16_error_is_within_rounding(ways):
    x, weight, bias = inputs((4, 64, 7, 7), features=64)
    rounded = [t.bfloat16() for t in (x, weight, bias)]
    exact = gradients(plain, *(t.double() for t in rounded))
    found = gradients(lambda x, w, b: convolve(x, w, b, ways), *rounded)
    for mine, theirs in zip(found, exact, strict=True):
        assert mine.dtype == torch.bfloat16
        assert (mine.double() - theirs).abs().max() <= 2**-7 * theirs.abs().max()


@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize(
    "arrange",
    [
        lambda t: t.contiguous(memory_format=torch.channels_last),
        lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
        lambda t: torch.stack((t, t), -1)[..., 0],
    ],
    ids=["channels_last", "transposed", "strided"],
)
def test_input_memory_format_does_not_matter_and_output_is_channels_last(ways, arrange):
    x, weight, bias = inputs()
    result = convolve(arrange(x), arrange(weight), bias, ways)
    torch.testing.assert_close(result, plain(x, weight, bias))
    assert result.is_contiguous(memory_format=torch.channels_last)
    given = torch.randn_like(result).contiguous()
    found = [operators.input_gradient(arrange(given), arrange(weight), ways.input_gradient)]
    found += [operators.weight_gradient(arrange(given), arrange(x), 7, 7, torch.float64, ways.weight_gradient)]
    wanted = torch.nn.grad.conv2d_input(x.shape, weight, given, padding=3)
    torch.testing.assert_close(found[0], wanted)
    torch.testing.assert_close(found[1], torch.nn.grad.conv2d_weight(x, weight.shape, given, padding=3))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.bfloat16, 2**-5)])
def test_batch_is_split_to_respect_the_memory_limit(monkeypatch, dtype, tolerance):
    x, weight, bias = (t.to(dtype) for t in inputs((7, 4, 5, 6), (3, 5)))
    whole = gradients(lambda *a: convolve(*a, UNFOLD), x, weight, bias)
    face = 5 * 6 * 3 * 5 * 4 * x.element_size()
    sizes = []
    slices = unfold._unfolded

    def counted(*arguments):
        for part, matrix in slices(*arguments):
            sizes.append(matrix.numel() * matrix.element_size())
            yield part, matrix

    monkeypatch.setattr(unfold, "_unfolded", counted)
    for limit in (face // 2, 2 * face, 3 * face + 1):
        sizes.clear()
        monkeypatch.setattr(unfold, "LARGEST_BYTES", limit)
        parts = gradients(lambda *a: convolve(*a, UNFOLD), x, weight, bias)
        assert len(sizes) >= 9  # three parts or more of each computation
        assert max(sizes) <= max(limit, 5 / 4 * face)  # size of a single map with the five channels of the gradient
        for mine, theirs in zip(parts, whole, strict=True):
            assert (mine - theirs).abs().max() <= (4 if dtype == torch.bfloat16 else 64) * torch.finfo(
                dtype
            ).eps * theirs.abs().max()


@pytest.mark.parametrize("channels", [1, 3, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_unfolded_matrix_is_exact_for_any_number_of_channels(dtype, channels):
    x = torch.randn(2, channels, 4, 5).to(dtype)
    (_, found), *more = unfold._unfolded(x, 3, 5)
    wanted = F.unfold(x, (3, 5), padding=(1, 2)).view(2, channels, 15, 20).permute(0, 3, 2, 1).reshape(40, -1)
    assert not more
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("wanted", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)])
def test_only_required_gradients_are_computed(wanted, monkeypatch):
    calls = []
    for name in ("input_gradient", "weight_gradient"):
        function = getattr(operators, name)
        monkeypatch.setattr(operators, name, lambda *a, f=function, n=name: calls.append(n) or f(*a))
    given = [t.requires_grad_(bool(needed)) for t, needed in zip(inputs(), wanted, strict=True)]
    convolve(*given, UNFOLD).square().sum().backward()
    assert [t.grad is not None for t in given] == [bool(needed) for needed in wanted]
    assert calls == [n for n, needed in zip(("input_gradient", "weight_gradient"), wanted, strict=False) if needed]


def test_second_derivative_error_suggests_plain_convolutions():
    x, weight, _ = (t.requires_grad_() for t in inputs())
    for way_out in (False, True):
        for of in (x, weight):
            if way_out:
                with plain_convolutions():
                    conv = nn.Conv2d(4, 5, 7, padding=3, dtype=torch.float64)
                    result = conv_within_map(conv, x)
                    (first,) = torch.autograd.grad(result.square().sum(), x, create_graph=True)
                first.sum().backward()
            else:
                result = convolve(x, weight, None, UNFOLD)
                (first,) = torch.autograd.grad(result.square().sum(), of, create_graph=True)
                with pytest.raises(RuntimeError, match=r"no second derivative.*plain_convolutions"):
                    first.sum().backward()


@pytest.mark.parametrize("ways", WAYS)
def test_autocast_output_is_bfloat16_and_gradients_keep_the_dtype_of_their_tensors(ways):
    x, weight, bias = (t.float().requires_grad_() for t in inputs((4, 64, 7, 7), features=64))
    with torch.autocast("cpu", torch.bfloat16):
        result = convolve(x, weight, bias, ways)
    assert result.dtype == torch.bfloat16
    found = torch.autograd.grad(result.float().square().sum(), (x, weight, bias))
    exact = gradients(plain, *(t.double() for t in (x, weight, bias)))
    wanted = torch.autograd.grad(plain(x, weight, bias).square().sum(), (x, weight, bias))
    assert [t.dtype for t in found] == [torch.float32] * 3
    assert (result.double() - exact[0]).abs().max() <= 0.02 * exact[0].abs().max()
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine - theirs).abs().max() <= 0.03 * theirs.abs().max()


def test_bfloat16_weight_gradients_are_accumulated_in_float32(monkeypatch):
    x, given = torch.ones(512, 1, 1, 1).bfloat16(), torch.ones(512, 1, 1, 1).bfloat16()
    given[1:] = 2**-8  # half the bfloat16 spacing at 1, so 1 + 2**-8 is rounded to 1 and single additions would be lost
    monkeypatch.setattr(unfold, "LARGEST_BYTES", 1)
    found = unfold.weight_gradient_unfolded(given, x, 1, 1, torch.float32)
    assert found.item() == 1 + 511 / 256


def test_works_under_no_grad_and_inference_mode():
    x, weight, bias = inputs()
    for block in (torch.inference_mode(), torch.no_grad()):
        with block:
            result = convolve(x, weight, bias, UNFOLD)
        assert not result.requires_grad
        torch.testing.assert_close(result, plain(x, weight, bias))


def test_deterministic_algorithms_give_equal_results_and_memory_filling_is_restored():
    given = inputs((3, 8, 7, 7), features=8, dtype=torch.float32)
    wanted = gradients(lambda *a: convolve(*a, UNFOLD), *given)
    torch.use_deterministic_algorithms(True)
    try:
        found = gradients(lambda *a: convolve(*a, UNFOLD), *given)
        assert torch.utils.deterministic.fill_uninitialized_memory
        assert torch.empty(3).isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_repeated_calls_are_bit_identical():
    given = inputs((3, 8, 7, 7), features=8, dtype=torch.float32)
    first, second = (gradients(lambda *a: convolve(*a, UNFOLD), *given) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


QUICK = ("test_schema", "test_autograd_registration", "test_faketensor")
ALL = (*QUICK, "test_aot_dispatch_dynamic")


@pytest.mark.parametrize(
    ("ways", "checks"), [(UNFOLD, QUICK), *(pytest.param(w, ALL, marks=pytest.mark.slow) for w in WAYS)]
)
def test_operators_pass_opcheck(ways, checks):
    x, weight, bias = (t.requires_grad_() for t in inputs((2, 3, 4, 1), (5, 3)))
    given = torch.randn(2, 5, 4, 1, dtype=torch.float64)
    torch.library.opcheck(operators._convolve, (x, weight, bias, *ways), test_utils=checks)
    cases = {
        operators._input_gradient: (given, weight.detach(), ways.input_gradient),
        operators._weight_gradient: (given, x.detach(), 5, 3, torch.float32, ways.weight_gradient),
    }
    for operator, arguments in cases.items():
        torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, 4, 7, padding=3)

    def forward(self, x):
        return conv_within_map(self.conv, x).square()


@pytest.mark.parametrize("size", [7, 2])
def test_compiled_layer_is_one_graph_with_the_operator(size):
    layer, x = Layer(), torch.randn(2, 4, size, size)
    graphs = []

    def backend(module, _):
        graphs.append([str(node.target) for node in module.graph.nodes])
        return module

    wanted = gradients(layer, x)
    with forced_ways(UNFOLD):
        torch.compile(layer, fullgraph=True, backend=backend)(x)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        for mine, theirs in zip(gradients(compiled, x), wanted, strict=True):
            torch.testing.assert_close(mine, theirs)
        with torch.autocast("cpu", torch.bfloat16):
            assert compiled(x).dtype == torch.bfloat16
    told_apart = Version(torch.__version__) >= Version("2.12")  # otherwise, compiling counts as exporting
    assert sum("mfer_lightning.convolve" in target for target in graphs[0]) == int(told_apart)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_does_not_change_the_result(reentrant):
    layer, found = Layer(), []
    for call in (layer, lambda x: checkpoint(layer, x, use_reentrant=reentrant)):
        torch.manual_seed(1)
        x = torch.randn(2, 4, 7, 7, requires_grad=True)
        layer.zero_grad()
        with forced_ways(UNFOLD):
            result = call(x)
            result.sum().backward()
        found.append((result, x.grad, layer.conv.weight.grad, layer.conv.bias.grad))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_exported_graphs_contain_the_torch_convolution():
    layer, x = Layer().eval(), torch.randn(1, 4, 7, 7)
    with forced_ways(UNFOLD):
        exported = torch.export.export(layer, (x,))
        traced = torch.jit.trace(layer, x)
    assert "aten.conv2d" in str(exported.graph)
    assert "mfer_lightning" not in str(exported.graph) + str(traced.inlined_graph)


RANK = """
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from nn.test_convolution_dense import Layer, UNFOLD, forced_ways
rank, rendezvous, output = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
torch.manual_seed(1)
x = torch.randn(4, 4, 7, 7)[2 * rank:][:2]
layer = DistributedDataParallel(Layer(), gradient_as_bucket_view=True)
with forced_ways(UNFOLD):
    layer(x).mean().backward()
torch.save([p.grad for p in layer.parameters()], output)
dist.destroy_process_group()
"""


@pytest.mark.slow  # two processes that import torch
def test_two_ranks_match_the_gradients_of_one(tmp_path):
    environment = {"PYTHONPATH": ":".join(sys.path)}
    commands = [
        [sys.executable, "-c", RANK, str(rank), str(tmp_path / "rendezvous"), str(tmp_path / f"{rank}.pt")]
        for rank in range(2)
    ]
    processes = [subprocess.Popen(c, env={**os.environ, **environment}) for c in commands]
    assert [process.wait(120) for process in processes] == [0, 0]
    torch.manual_seed(1)
    x, layer = torch.randn(4, 4, 7, 7), Layer()
    layer(x).mean().backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for mine, parameter in zip(found, layer.parameters(), strict=True):
            torch.testing.assert_close(mine, parameter.grad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(8, 512, 14, 14), (8, 1024, 7, 7)])
def test_every_gpu_implementation_is_within_rounding_error(shape, dtype):
    x, weight, bias = inputs(shape, features=shape[1], dtype=torch.float32)
    given = [t.to("cuda", dtype) for t in (x, weight, bias)]
    exact = gradients(plain, *(t.double() for t in given))
    for ways in (UNFOLD, TURNED, Ways("library", "unfold", "unfold")):
        found = gradients(lambda x, w, b, ways=ways: convolve(x, w, b, ways), *given)
        for mine, theirs in zip(found, exact, strict=True):
            assert (mine.double() - theirs).abs().max() <= 2**-7 * theirs.abs().max()
