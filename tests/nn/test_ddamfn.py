"""DDAMFN: the paper's size, an independent formula, and the authors' files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.nn import DDAMFN, MFER, load_weights
from mfer_lightning.nn.cost import count_gflops, count_parameters

NUMBERED = ("conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5", "conv_6_sep")


def small(heads: int = 2) -> DDAMFN:
    torch.manual_seed(0)
    shape = {"name": "mixedfeaturenet", "options": {"depths": [1, 2, 1], "width": 8}}
    network = DDAMFN(5, backbone=shape, heads=heads)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def public(network: DDAMFN) -> dict[str, Tensor]:
    """Return random tensors under the public names, including modules that the authors' network never calls."""
    names = network.public_names()
    state = {names[name]: torch.rand_like(value.float()) for name, value in network.state_dict().items()}
    for module in network.public_left_out():
        state |= {f"{module}.weight": torch.rand(8), f"{module}.bn.bias": torch.rand(8)}
    return state


def test_size_matches_the_paper() -> None:
    with torch.device("meta"):
        network = DDAMFN(num_classes=7)
    assert count_parameters(network) == 4_105_999  # 4.11 M in the paper
    assert count_gflops(network, 112) == pytest.approx(0.5396, abs=1e-4)  # 551 M in the paper, which counts norms too


class Again:
    """A second implementation with the authors' names."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            self.weights[f"{name}.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def block(self, x: Tensor, name: str, stride: int = 1, pad: int = 0, depthwise: bool = False) -> Tensor:
        kernel = self.weights[f"{name}.conv.weight"]
        groups = len(kernel) if depthwise else 1
        x = self.norm(F.conv2d(x, kernel, None, stride, pad, groups=groups), f"{name}.bn")
        slope = self.weights.get(f"{name}.prelu.weight")
        return x if slope is None else F.prelu(x, slope)

    def directions(self, x: Tensor, rows: Tensor, columns: Tensor, name: str) -> Tensor:
        w = self.weights
        factors = []
        for part, last in ((rows, "conv2"), (columns.transpose(2, 3), "conv3")):
            inner = F.conv2d(part, w[f"{name}.conv1.weight"], w[f"{name}.conv1.bias"])
            inner = self.norm(inner, f"{name}.bn1")
            inner = inner * F.relu6(inner + 3) / 6
            factors.append(torch.sigmoid(F.conv2d(inner, w[f"{name}.{last}.weight"], w[f"{name}.{last}.bias"])))
        return factors[0] * factors[1].transpose(2, 3)

    def unit(self, x: Tensor, name: str, stride: int) -> Tensor:
        y = self.block(x, f"{name}.conv")
        kernels = [v for k, v in self.weights.items() if k.startswith(f"{name}.conv_dw.mixed")]
        parts, start = [], 0
        for kernel in kernels:
            part = y[:, start : start + len(kernel)]
            parts.append(F.conv2d(part, kernel, None, stride, kernel.shape[-1] // 2, groups=len(kernel)))
            start += len(kernel)
        y = torch.cat(parts, 1)
        y = y * self.directions(y, y.mean(3, keepdim=True), y.mean(2, keepdim=True), f"{name}.CA")
        y = self.block(y, f"{name}.project")
        return x + y if stride == 1 else y

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.block(image, "features.0", 2, 1)
        x = self.block(x, "features.1", 1, 1, depthwise=True)
        for strided, depth in ((2, 1), (4, 2), (6, 1)):
            x = self.unit(x, f"features.{strided}", 2)
            for number in range(depth):
                x = self.unit(x, f"features.{strided + 1}.model.{number}", 1)
        x = self.block(x, "features.8")
        maps = []
        for head in ("cat_head0.CoordAtt", "cat_head1.CoordAtt"):
            rows = self.block(x, f"{head}.Linear_h", depthwise=True)
            columns = self.block(x, f"{head}.Linear_w", depthwise=True)
            maps.append(self.directions(x, rows, columns, head))
        feature = self.block(x * torch.maximum(*maps), "Linear", depthwise=True).flatten(1)
        return F.linear(feature, self.weights["fc.weight"], self.weights["fc.bias"]), torch.stack(maps, 1)


def test_matches_its_formula() -> None:
    network = small()
    again = Again({network.public_names()[name]: value for name, value in network.state_dict().items()})
    image = torch.randn(2, 3, 112, 112)
    output = network(image)
    logits, maps = again(image)
    torch.testing.assert_close(output["logits"], logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output["attention_maps"], maps, atol=1e-5, rtol=1e-4)


def test_other_image_sizes_use_other_kernels_and_are_validated() -> None:
    network = DDAMFN(backbone={"name": "mixedfeaturenet", "options": {"depths": [1, 1, 1], "width": 8}}, image_size=64)
    assert network.eval()(torch.zeros(1, 3, 64, 64))["attention_maps"].shape == (1, 2, 64, 4, 4)
    with pytest.raises(ValueError, match="64x64 pixels"):
        network(torch.zeros(1, 3, 112, 112))


@pytest.mark.parametrize("side", [40, 48, 50, 56, 64, 90, 96, 100, 104, 112, 120, 128])
def test_kernels_have_the_size_of_the_map_for_any_image_size(side: int) -> None:
    shape = {"name": "mixedfeaturenet", "options": {"depths": [1, 1, 1], "width": 8}}
    with torch.device("meta"):
        output = DDAMFN(backbone=shape, image_size=side).eval()(torch.zeros(1, 3, side, side))
    rounded_up = -(-side // 16)  # each of the four layers of stride 2 rounds up
    assert output["attention_maps"].shape == (1, 2, 64, rounded_up, rounded_up)
    assert output["logits"].shape == (1, 7)


@pytest.mark.parametrize(("backbone", "side", "map_side"), [("resnet10t", 100, 4), ("vit_tiny_patch16_224", 48, 3)])
def test_map_size_of_another_backbone_is_measured(backbone: str, side: int, map_side: int) -> None:
    with torch.device("meta"):
        output = DDAMFN(backbone=backbone, image_size=side).eval()(torch.zeros(1, 3, side, side))
    assert output["attention_maps"].shape[3:] == (map_side, map_side)


def test_every_tensor_of_the_released_file_is_loaded(tmp_path: Path) -> None:
    network = small()
    state = public(network)
    for name in (
        "features.0.prelu.weight",
        "features.2.conv_dw.mixed_depthwise_conv.2.weight",
        "features.5.model.1.CA.conv3.bias",
        "cat_head1.CoordAtt.Linear_w.bn.running_var",
        "Linear.conv.weight",
        "fc.bias",
        "features.5.model.0.conv_dw.prelu.weight",
        "cat_head0.CoordAtt.Linear.weight",
    ):
        assert name in state
    torch.save({"iter": 3, "model_state_dict": state}, tmp_path / "ddamfn.pth")
    report = load_weights(network, tmp_path / "ddamfn.pth")
    assert (report.layout, report.new) == ("public ddamfn", ())
    assert set(report.dropped) == {n for n in state if n not in network.public_names().values()}
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value.float(), state[network.public_names()[name]].to(value.dtype).float())


def test_backbone_file_leaves_attention_and_head_new(tmp_path: Path) -> None:
    network = DDAMFN(5)
    theirs = {network.backbone.timm_name(n): v for n, v in network.backbone.state_dict().items()}
    unused = {f"conv_4.model.15.conv_dw.{part}.weight": torch.rand(256) for part in ("bn", "prelu")}
    embedding = {"conv_6_dw.conv.weight": torch.rand(512, 1, 7, 7), "linear.weight": torch.rand(256, 512)}
    torch.save({**theirs, **unused, **embedding}, tmp_path / "mfn.pth")
    report = load_weights(network, tmp_path / "mfn.pth")
    assert (report.layout, report.new_parts) == ("MixedFeatureNet", ("attention", "head"))
    assert set(report.dropped) == {*unused, *embedding}


@pytest.mark.slow
def test_incompatible_weights_are_rejected(tmp_path: Path) -> None:
    torch.save(public(small(heads=3)), tmp_path / "three.pth")
    with pytest.raises(UserError, match="unexpected 'cat_head2"):
        load_weights(small(), tmp_path / "three.pth")
    torch.save(MFER("resnet10t", attention="none").backbone.model.state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match="layout of the weights is not that of"):
        load_weights(small(), tmp_path / "other.pth")
