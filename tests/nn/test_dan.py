"""DAN: the paper's size, an independent formula, and the authors' files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.nn import DAN, MFER, load_weights
from mfer_lightning.nn.cost import count_gflops, count_parameters


def small(heads: int = 2) -> DAN:
    torch.manual_seed(0)
    network = DAN(5, backbone={"name": "resnet18", "options": {"channels": [8, 8, 8, 16]}}, heads=heads, reduction=4)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def public(network: DAN) -> dict[str, Tensor]:
    names = network.public_names()
    return {names[name]: torch.rand_like(value.float()) for name, value in network.state_dict().items()}


def test_size_matches_the_paper() -> None:
    with torch.device("meta"):
        network = DAN(num_classes=7)
    assert count_parameters(network) == 19_723_733  # 19.72 M in the paper
    assert count_gflops(network, 224) == pytest.approx(2.23, abs=0.01)


def test_matches_its_formula() -> None:
    network = small()
    weights = {network.public_names()[name]: value for name, value in network.state_dict().items()}

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        shape = (1, -1, 1, 1) if x.ndim == 4 else (1, -1)
        return (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt() * weight.view(shape) + bias.view(shape)

    def conv(x: Tensor, name: str, padding: tuple[int, int] = (0, 0)) -> Tensor:
        return norm(F.conv2d(x, weights[f"{name}.0.weight"], weights[f"{name}.0.bias"], padding=padding), f"{name}.1")

    image = torch.randn(3, 3, 64, 64)
    last = network.backbone.model.forward_features(image)
    heads = []
    for number in range(2):
        head = f"cat_head{number}"
        inner = conv(last, f"{head}.sa.conv1x1")
        spatial = sum(
            conv(inner, f"{head}.sa.conv_{a}x{b}", (a // 2, b // 2)) for a, b in ((3, 3), (1, 3), (3, 1))
        ).relu()
        mean = (last * spatial.sum(1, keepdim=True)).mean((2, 3))
        low, high = f"{head}.ca.attention.0", f"{head}.ca.attention.3"
        bottleneck = F.linear(mean, weights[f"{low}.weight"], weights[f"{low}.bias"])
        bottleneck = norm(bottleneck, f"{head}.ca.attention.1").relu()
        heads.append(mean * F.linear(bottleneck, weights[f"{high}.weight"], weights[f"{high}.bias"]).sigmoid())
    fused = torch.stack(heads).log_softmax(0).sum(0)
    logits = norm(F.linear(fused, weights["fc.weight"], weights["fc.bias"]), "bn")
    output = network(image)
    torch.testing.assert_close(output["logits"], logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output["feature"], fused, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output["pooled"], last.mean((2, 3)))


def test_every_tensor_of_the_released_file_is_loaded(tmp_path: Path) -> None:
    network = small()
    state = public(network)
    assert {
        "features.0.weight",
        "features.4.0.conv1.weight",
        "features.7.1.bn2.bias",
        "cat_head1.sa.conv_3x1.1.bias",
    } < set(state)
    assert {"cat_head0.ca.attention.3.weight", "fc.bias", "bn.running_mean"} < set(state)
    torch.save({"iter": 3, "model_state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "dan.pth")
    report = load_weights(network, tmp_path / "dan.pth")
    assert (report.layout, report.new, report.dropped) == ("public dan", (), ())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value.float(), state[network.public_names()[name]].to(value.dtype).float())


def test_backbone_weights_leave_attention_and_head_new(tmp_path: Path) -> None:
    network = small()
    theirs = {network.backbone.timm_name(n): v for n, v in network.backbone.state_dict().items()}
    torch.save({"state_dict": {**theirs, "fc.weight": torch.rand(9, 16), "fc.bias": torch.rand(9)}}, tmp_path / "r.pth")
    report = load_weights(network, tmp_path / "r.pth")
    assert (report.new_parts, report.dropped) == (("attention", "head"), ("fc.weight", "fc.bias"))


def test_incompatible_weights_are_rejected_and_change_nothing(tmp_path: Path) -> None:
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save(public(small(heads=3)), tmp_path / "three.pth")
    with pytest.raises(UserError, match="unexpected 'cat_head2"):
        load_weights(network, tmp_path / "three.pth")
    torch.save(MFER({"name": "mobilefacenet"}, attention="none").backbone.model.state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match="layout of the weights is not that of"):
        load_weights(network, tmp_path / "other.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
