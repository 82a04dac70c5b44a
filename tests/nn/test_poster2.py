"""POSTER V2: the paper's size, an independent formula, and the authors' files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.nn import POSTER2, load_weights
from mfer_lightning.nn.cost import count_gflops, count_parameters

SMALL = {
    "depths": (1, 2, 1),
    "widths": (64, 128, 16),
    "landmark_depths": (1, 1, 1),
    "heads": (2, 4, 2),
    "embed_dim": 16,
    "inner_size": 32,
}


def small(**options: object) -> POSTER2:
    torch.manual_seed(0)
    network = POSTER2(5, **{**SMALL, **options})  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    for level in network.levels:  # so that their branches count
        torch.nn.init.ones_(level.ffn.gamma1)
        torch.nn.init.ones_(level.ffn.gamma2)
    return network.eval()


def public(network: POSTER2) -> dict[str, Tensor]:
    """Return random tensors under the public names, including modules that the authors' network never calls."""
    names = network.public_names()
    state = {names[name]: torch.rand_like(value.float()) for name, value in network.state_dict().items()}
    unused = {name if name.endswith("index") else f"{name}.weight" for name in network.public_left_out()}
    return state | {name: torch.rand(4) for name in unused}


def test_size_matches_the_paper() -> None:
    with torch.device("meta"):
        network = POSTER2(num_classes=7)
    assert count_parameters(network) == 43_753_941  # 43.7 M in the paper
    assert count_gflops(network, 224) == pytest.approx(8.592, abs=1e-3)  # 8.4 in the paper


def test_matches_its_formula() -> None:
    network = small()
    weights = {network.public_names()[name]: value for name, value in network.state_dict().items()}

    def fc(x: Tensor, name: str) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x: Tensor, name: str, eps: float = 1e-5) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps)

    def conv(x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding)

    image = torch.randn(2, 3, 64, 64)
    inner = image[:, :, ::2, ::2]
    faces, landmarks = network._ir_maps(inner), network._landmark_maps(inner)
    assert [m.shape[1:] for m in faces] == [(64, 16, 16), (128, 8, 8), (16, 4, 4)]
    assert [m.shape[1:] for m in landmarks] == [(64, 8, 8), (128, 4, 4), (512, 2, 2)]
    landmarks[2] = conv(landmarks[2], "last_face_conv", 1, 1)
    tokens = []
    for i, heads in enumerate((2, 4, 2)):
        level = i + 1
        x = conv(faces[i], f"conv{level}", 2, 1)
        side, width = x.shape[-1], x.shape[1]
        x = norm(x.flatten(2).transpose(1, 2), f"window{level}.norm")
        key, value = fc(x, f"attn{level}.qkv").split(width, -1)
        query = landmarks[i].flatten(2).transpose(1, 2)
        out = torch.zeros_like(x)
        table = weights[f"attn{level}.relative_position_bias_table"]
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(width / heads)
            for a in range(side * side):
                for b in range(side * side):
                    down, right = a // side - b // side + side - 1, a % side - b % side + side - 1
                    scores[:, a, b] += table[down * (2 * side - 1) + right, head]
            out[..., part] = scores.softmax(-1) @ value[..., part]
        x = x + weights[f"ffn{level}.gamma1"] * fc(out, f"attn{level}.proj")
        hidden = F.gelu(fc(norm(x, f"ffn{level}.norm"), f"ffn{level}.mlp.fc1"))
        x = x + weights[f"ffn{level}.gamma2"] * fc(hidden, f"ffn{level}.mlp.fc2")
        grid = x.transpose(1, 2).reshape(2, width, side, side)
        if i == 0:
            grid = conv(conv(grid, "embed_q.0", 2, 1), "embed_q.1", 2, 1)
        grid = conv(grid, "embed_k.0", 2, 1) if i == 1 else grid
        grid = conv(grid, "embed_v.proj") if i == 2 else grid
        tokens.append(grid.flatten(2).transpose(1, 2))
    x = torch.cat([weights["VIT.cls_token"].expand(2, -1, -1), *tokens], 1) + weights["VIT.pos_embed"]
    for block in ("VIT.blocks.0", "VIT.blocks.1"):
        y = norm(x, f"{block}.norm1", 1e-6)
        q, k, v = (p.unflatten(-1, (8, 2)).transpose(1, 2) for p in fc(y, f"{block}.attn.qkv").split(16, -1))
        mixed = (q @ k.transpose(2, 3) / math.sqrt(2)).softmax(-1) @ v
        x = x + fc(mixed.transpose(1, 2).flatten(2), f"{block}.attn.proj")
        y = norm(x, f"{block}.norm2", 1e-6)
        x = x + fc(F.gelu(fc(y, f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    feature = norm(x, "VIT.norm", 1e-6)[:, 0]
    feature = feature * fc(fc(feature, "VIT.se_block.linear1").relu(), "VIT.se_block.linear2").sigmoid()
    output = network(image)
    torch.testing.assert_close(output["feature"], feature, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output["logits"], fc(feature, "VIT.head.linear"), atol=1e-4, rtol=1e-4)


def test_landmark_network_is_frozen_by_default() -> None:
    assert not any(p.requires_grad for p in small().landmarks.parameters())
    assert all(p.requires_grad for p in small(freeze_landmarks=False).landmarks.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (1, 2)}, "`depths` must be three positive integers"),
        ({"heads": (3, 4, 2)}, r"`widths` \[64, 128, 16\] must be multiples of the corresponding `heads` \[3, 4, 2\]"),
        ({"embed_dim": 12}, "`embed_dim` must be a positive multiple of 8"),
        ({"inner_size": 100}, "`inner_size` must be a positive multiple of 16"),
    ],
)
def test_inconsistent_sizes_are_rejected(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**options)


def test_every_tensor_of_the_released_file_is_loaded(tmp_path: Path) -> None:
    network = small()
    state = public(network)
    for name in (
        "ir_back.input_layer.2.weight",
        "ir_back.body2.1.res_layer.1.weight",
        "face_landback.conv_45.project.bn.bias",
        "attn3.relative_position_bias_table",
        "window2.norm.weight",
        "ffn1.gamma2",
        "last_face_conv.bias",
        "embed_q.1.weight",
        "embed_k.0.bias",
        "embed_v.proj.weight",
        "VIT.pos_embed",
        "VIT.se_block.linear2.bias",
        "VIT.blocks.1.mlp.fc2.weight",
        "VIT.head.linear.weight",
        "attn1.relative_position_index",
        "VIT.blocks.0.conv.weight",
        "ir_back.output_layer.weight",
    ):
        assert name in state
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "poster.pth")
    report = load_weights(network, tmp_path / "poster.pth")
    assert (report.layout, report.new) == ("public poster2", ())
    assert set(report.dropped) == {n for n in state if n not in network.public_names().values()}
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value.float(), state[network.public_names()[name]].to(value.dtype).float())


def test_two_pretrained_networks_in_one_file_leave_the_rest_new(tmp_path: Path) -> None:
    network = small()
    state = {k: v for k, v in public(network).items() if k.startswith(("ir_back.", "face_landback."))}
    torch.save(state, tmp_path / "both.pth")
    report = load_weights(network, tmp_path / "both.pth")
    assert report.new_parts == ("attention", "head")
    assert not any(name.startswith(("backbone.", "landmarks.")) for name in report.new)
    del state["face_landback.conv1.conv.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"missing 'face_landback.conv1.conv.weight'"):
        load_weights(network, tmp_path / "part.pth")


def test_weights_of_another_family_are_rejected(tmp_path: Path) -> None:
    torch.save(
        {"features.0.weight": torch.rand(3), "cat_head0.sa.conv1x1.0.weight": torch.rand(3)}, tmp_path / "dan.pth"
    )
    with pytest.raises(UserError, match="layout of the weights is not that of"):
        load_weights(small(), tmp_path / "dan.pth")


def test_boolean_option_rejects_strings() -> None:
    with pytest.raises(UserError, match="`freeze_landmarks` must be true or false, not 'off'"):
        small(freeze_landmarks="off")
