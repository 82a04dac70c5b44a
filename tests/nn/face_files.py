"""Names and shapes of the tensors in the public files of face networks, written down independently of the networks.

They are taken from InsightFace's ``arcface_torch``, TreB1eN's InsightFace_Pytorch, face.evoLVe, POSTER V2, AdaFace and
DDAMFN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
EMBEDDING = 512


def norm(name: str, channels: int, affine: bool = True) -> Shapes:
    weights = ("weight", "bias") if affine else ()
    return {f"{name}.{leaf}": (channels,) for leaf in (*weights, "running_mean", "running_var")} | {
        f"{name}.num_batches_tracked": ()
    }


def conv(name: str, channels: int, before: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (channels, before, kernel, kernel)}


def linear(name: str, channels: int, before: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (channels, before)} | ({f"{name}.bias": (channels,)} if bias else {})


def prelu(name: str, channels: int) -> Shapes:
    return {f"{name}.weight": (channels,)}


def insightface(depths: Sequence[int] = (3, 4, 14, 3), widths: Sequence[int] = (64, 128, 256, 512)) -> Shapes:
    found = conv("conv1", widths[0], 3, 3) | norm("bn1", widths[0]) | prelu("prelu", widths[0])
    before = widths[0]
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for block in range(depth):
            name = f"layer{stage}.{block}"
            found |= norm(f"{name}.bn1", before) | conv(f"{name}.conv1", width, before, 3)
            found |= norm(f"{name}.bn2", width) | prelu(f"{name}.prelu", width)
            found |= conv(f"{name}.conv2", width, width, 3) | norm(f"{name}.bn3", width)
            if block == 0:
                found |= conv(f"{name}.downsample.0", width, before, 1) | norm(f"{name}.downsample.1", width)
            before = width
    found |= norm("bn2", before) | linear("fc", EMBEDDING, before * 49)
    return found | norm("features", EMBEDDING)


def ir(
    inner: bool, affine: bool, depths: Sequence[int] = (3, 4, 14, 3), widths: Sequence[int] = (64, 128, 256, 512)
) -> Shapes:
    """Names of face.evoLVe; with ``inner``, those of the AdaFace network."""
    found = conv("input_layer.0", widths[0], 3, 3) | norm("input_layer.1", widths[0])
    found |= prelu("input_layer.2", widths[0])
    number, before = 0, widths[0]
    for depth, width in zip(depths, widths, strict=True):
        for _ in range(depth):
            name = f"body.{number}"
            if before != width:
                found |= conv(f"{name}.shortcut_layer.0", width, before, 1) | norm(f"{name}.shortcut_layer.1", width)
            residual = f"{name}.res_layer"
            found |= norm(f"{residual}.0", before) | conv(f"{residual}.1", width, before, 3)
            found |= norm(f"{residual}.2", width) if inner else {}
            at = 3 if inner else 2
            found |= prelu(f"{residual}.{at}", width) | conv(f"{residual}.{at + 1}", width, width, 3)
            found |= norm(f"{residual}.{at + 2}", width)
            number, before = number + 1, width
    found |= norm("output_layer.0", before) | linear("output_layer.3", EMBEDDING, before * 49)
    return found | norm("output_layer.4", EMBEDDING, affine)


def split_ir(depths: Sequence[int], widths: Sequence[int]) -> Shapes:
    """POSTER V2: a module for each of three stages; the last norm is that of a fourth, which is absent."""
    whole = ir(False, True, depths, widths)
    found: Shapes = {}
    starts = [sum(depths[:stage]) for stage in range(4)]
    for name, shape in whole.items():
        first, number, *rest = name.split(".")
        if first == "body":
            stage = sum(int(number) >= start for start in starts)
            name = ".".join([f"body{stage}", str(int(number) - starts[stage - 1]), *rest])
        found[name] = shape
    return found | norm("output_layer.0", 2 * widths[-1]) | linear("output_layer.3", EMBEDDING, 2 * widths[-1] * 49)


def unit(names: Sequence[str], name: str, channels: int, before: int, kernel: int, linear_unit: bool = False) -> Shapes:
    convolution, batch_norm, activation = (f"{name}.{leaf}" for leaf in names)
    found = conv(convolution, channels, before, kernel) | norm(batch_norm, channels)
    return found if linear_unit else found | prelu(activation, channels)


def mobilefacenet(embedding: int = EMBEDDING) -> Shapes:
    """Names in TreB1eN's MobileFaceNet."""
    leaves = ("conv", "bn", "prelu")

    def inverted(name: str, before: int, channels: int, inner: int) -> Shapes:
        found = unit(leaves, f"{name}.conv", inner, before, 1) | unit(leaves, f"{name}.conv_dw", inner, 1, 3)
        return found | unit(leaves, f"{name}.project", channels, inner, 1, linear_unit=True)

    found = unit(leaves, "conv1", 64, 3, 3) | unit(leaves, "conv2_dw", 64, 1, 3)
    for stage, before, channels, inner, depth, width in (
        ("3", 64, 64, 128, 4, 128),
        ("4", 64, 128, 256, 6, 256),
        ("5", 128, 128, 512, 2, 256),
    ):
        found |= inverted(f"conv_{int(stage) - 1}{stage}", before, channels, inner)
        for block in range(depth):
            found |= inverted(f"conv_{stage}.model.{block}", channels, channels, width)
    found |= unit(leaves, "conv_6_sep", 512, 128, 1) | unit(leaves, "conv_6_dw", 512, 1, 7, linear_unit=True)
    return found | linear("linear", embedding, 512, bias=False) | norm("bn", embedding)


def insightface_mobilefacenet() -> Shapes:
    """Names in InsightFace's MobileFaceNet, which is twice as wide and has numbered modules."""
    leaves = ("layers.0", "layers.1", "layers.2")

    def inverted(name: str, before: int, channels: int, inner: int) -> Shapes:
        found = unit(leaves, f"{name}.layers.0", inner, before, 1) | unit(leaves, f"{name}.layers.1", inner, 1, 3)
        return found | unit(leaves, f"{name}.layers.2", channels, inner, 1, linear_unit=True)

    found = unit(leaves, "layers.0", 128, 3, 3) | unit(leaves, "layers.1", 128, 2, 3)
    for number, before, channels, inner, depth, width in (
        (2, 128, 128, 128, 4, 128),
        (4, 128, 256, 256, 6, 256),
        (6, 256, 256, 512, 2, 256),
    ):
        found |= inverted(f"layers.{number}", before, channels, inner)
        for block in range(depth):
            found |= inverted(f"layers.{number + 1}.layers.{block}", channels, channels, width)
    found |= unit(leaves, "conv_sep", 512, 256, 1) | unit(leaves, "features.layers.0", 512, 1, 7, linear_unit=True)
    return found | linear("features.layers.2", EMBEDDING, 512, bias=False) | norm("features.layers.3", EMBEDDING)


def mixedfeaturenet(embedding: int = EMBEDDING) -> Shapes:
    """The names of DDAMFN's authors, without the norms and PReLUs that their network never calls."""
    leaves = ("conv", "bn", "prelu")

    def mixed(name: str, before: int, channels: int, kernels: Mapping[int, int]) -> Shapes:
        inner = sum(kernels.values())
        bottleneck = max(8, inner // 32)
        found = unit(leaves, f"{name}.conv", inner, before, 1)
        for number, (kernel, width) in enumerate(kernels.items()):
            found |= conv(f"{name}.conv_dw.mixed_depthwise_conv.{number}", width, 1, kernel)
        for leaf, width, earlier in (
            ("conv1", bottleneck, inner),
            ("conv2", inner, bottleneck),
            ("conv3", inner, bottleneck),
        ):
            found |= conv(f"{name}.CA.{leaf}", width, earlier, 1) | {f"{name}.CA.{leaf}.bias": (width,)}
        found |= norm(f"{name}.CA.bn1", bottleneck)
        return found | unit(leaves, f"{name}.project", channels, inner, 1, linear_unit=True)

    found = unit(leaves, "conv1", 64, 3, 3) | unit(leaves, "conv2_dw", 64, 1, 3)
    for stage, before, channels, depth, strided, plain in (
        (3, 64, 64, 9, {3: 64, 5: 32, 7: 32}, {3: 96, 5: 32}),
        (4, 64, 128, 16, {3: 128, 5: 64, 7: 64}, {3: 192, 5: 64}),
        (5, 128, 256, 6, {3: 256, 5: 256, 7: 256, 9: 256}, {3: 172, 5: 170, 7: 170}),
    ):
        found |= mixed(f"conv_{stage - 1}{stage}", before, channels, strided)
        for block in range(depth):
            found |= mixed(f"conv_{stage}.model.{block}", channels, channels, plain)
    found |= unit(leaves, "conv_6_sep", 512, 256, 1) | unit(leaves, "conv_6_dw", 512, 1, 7, linear_unit=True)
    return found | linear("linear", embedding, 512, bias=False) | norm("bn", embedding)


def parameters(shapes: Mapping[str, Sequence[int]]) -> int:
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    return sum(int(torch.Size(shape).numel()) for name, shape in shapes.items() if not name.endswith(buffers))


def random_file(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Fill every tensor with different numbers; variances are positive."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Any] = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(7)
        else:
            numbers = torch.randn(shape, generator=generator) * 0.1
            found[name] = numbers.abs() + 0.5 if name.endswith("running_var") else numbers
    return found
