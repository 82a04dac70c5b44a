"""Transformers: tokens as maps, pooling, image sizes, and position embeddings from files with another size."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER, load_weights
from mfer_lightning.nn.backbones.attended import TokenMap
from mfer_lightning.nn.backbones.data_config import with_own_normalisation
from mfer_lightning.optim import parameter_groups

TINY = {"depth": 4, "embed_dim": 24, "num_heads": 2}
VIT = {"name": "vit_tiny_patch16_224", "options": TINY}
DEPTHWISE = {"name": "ds_depthwise", "kernel_size": 3}
#: A small Hiera, whose tokens are ordered by mask units.
HIERA = {"name": "hiera_tiny_224", "options": {"embed_dim": 16, "num_heads": 1, "stages": [1, 1, 1, 1]}}


def vit(size: int = 64, attention: object = DEPTHWISE, **backbone: object) -> MFER:
    torch.manual_seed(0)
    return MFER({**VIT, **backbone}, 3, attention=attention, image_size=size).eval()


def test_attention_follows_blocks_at_three_quarters_and_the_end_without_the_class_token() -> None:
    network = vit()
    blocks = network.backbone.model.blocks
    assert [type(block).__name__ for block in blocks] == ["Block", "Block", "AttendedTokens", "AttendedTokens"]
    x = torch.randn(2, 17, 24)
    out = blocks[2](x)
    plain = blocks[2].stage(x)
    assert torch.equal(out[:, 0], plain[:, 0])
    expected = blocks[2].attention(plain[:, 1:].reshape(2, 4, 4, 24)).reshape(2, 16, 24)
    torch.testing.assert_close(out[:, 1:], expected)


def test_blocks_can_be_chosen() -> None:
    network = vit(stage_blocks=[1, 3], attention={**DEPTHWISE, "stages": [1]})
    assert [stage.module for stage in network.backbone.stages] == ["blocks.0", "blocks.2"]
    for wrong in ([3, 1], [5], [0], [], [True], [1.0], 12):
        with pytest.raises(UserError, match="ascending block numbers, 1 to 4"):
            vit(stage_blocks=wrong)
    with pytest.raises(UserError, match="applies to plain transformers"):
        MFER({"name": "resnet18", "stage_blocks": [1]}, attention="none")


def test_reordered_tokens_are_mapped_to_positions_and_back() -> None:
    network = MFER(HIERA, 3, attention=DEPTHWISE, image_size=64).eval()
    stage = network.backbone.stages[2]
    assert (stage.layout, stage.prefix, stage.reduction) == ("tokens", 0, 16)
    tokens = TokenMap(order=stage.order)
    x = torch.randn(2, 16, 5)
    timms = network.backbone.model.reroll(x, int(stage.module.rpartition(".")[2]))
    assert torch.equal(tokens(x), timms)
    assert torch.equal(tokens.put_back(x, timms), x)
    assert network(torch.randn(1, 3, 64, 64))["logits"].shape == (1, 3)


def test_last_hiera_map_is_a_view_without_reordering() -> None:
    network = MFER(HIERA, 3, attention="none", image_size=64).eval()
    model, taken = network.backbone.model, []

    class Indices(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            taken.append(str(func)) if "index" in str(func) else None
            return func(*args, **kwargs or {})

    kept: list[torch.Tensor] = []
    model.blocks[-1].register_forward_hook(lambda _m, _i, tokens: kept.append(tokens))
    with torch.inference_mode(), Indices():
        found = network(torch.randn(2, 3, 64, 64))["map"]
    assert taken == []
    tokens = model.forward_features(torch.zeros(2, 3, 64, 64))
    assert found.shape == (2, tokens.shape[2], 2, 2)
    assert found.data_ptr() == kept[0].data_ptr()
    last = int(network.backbone.stages[-1].module.rpartition(".")[2])
    assert torch.equal(found, model.reroll(kept[0], last).permute(0, 3, 1, 2))
    assert network.backbone.stages[2].order is not None  # the attention before it still needs the order


def test_pooling_can_be_mean_class_token_or_the_model_default() -> None:
    x = torch.randn(2, 3, 64, 64)
    for pool, feature in (("avg", lambda t: t[:, 1:].mean(1)), ("cls", lambda t: t[:, 0])):
        network = vit(attention="none", pool=pool)
        tokens = network.backbone.model.forward_features(x)
        torch.testing.assert_close(network(x)["feature"], network.backbone.norm(feature(tokens)))
    siglip = {"name": "vit_base_patch16_siglip_224", "pool": "map", "options": TINY}
    network = MFER(siglip, 3, attention=DEPTHWISE, image_size=64)
    tokens = network.backbone.model.forward_features(x)
    torch.testing.assert_close(network(x)["feature"], network.backbone.norm(network.backbone.model.attn_pool(tokens)))
    assert MFER({**siglip, "pool": "avg"}, 3, image_size=64).backbone.pruned == ("attn_pool",)


@pytest.mark.parametrize(
    ("backbone", "attention", "message"),
    [
        ({**VIT, "pool": "token"}, DEPTHWISE, r"attention after stage 4 has no effect. Use attention.stages=\[3\]"),
        ({**VIT, "pool": "map"}, "none", "has no attention pooling"),
        ({"name": "resnet18", "pool": "token"}, "none", "has no class token"),
        ({**VIT, "pool": "max"}, "none", "`pool` must be one of avg, token, map"),
        ({**VIT, "pool": ["avg"]}, "none", r"`pool` must be one of avg, token, map, not \['avg'\]"),
    ],
)
def test_unsupported_pooling_is_rejected(backbone: dict, attention: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MFER(backbone, 3, attention=attention, image_size=64)


def test_fixed_size_networks_name_their_size_and_others_accept_any() -> None:
    """DINOv2's default size is 518 pixels, Swin V2's 256."""
    dinov2 = {"name": "vit_small_patch14_dinov2", "options": TINY}
    swin = {
        "name": "swinv2_tiny_window8_256",
        "options": {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1] * 4},
    }
    fixed = timm.create_model(swin["name"], **swin["options"]).patch_embed.strict_img_size  # in older timm
    for backbone in (dinov2,) if fixed else (dinov2, swin):
        assert MFER(backbone, 3, attention=DEPTHWISE).eval()(torch.randn(1, 3, 224, 224))["logits"].shape == (1, 3)
    network = vit(64)
    with pytest.raises(ValueError, match=r"64x64 pixels.*but got 32x32\. Build it with image_size=32"):
        network(torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vit_small_patch14_dinov2", 64, "patches of 14 pixels.*preprocess.size=56 or 70"),
        ("resnet18", 0, "`image_size` must be a number of pixels"),
        ("coatnet_nano_rw_224", 100, r"It accepts 96 or 128 or 224\. Use preprocess.size=96"),
    ],
)
def test_unsupported_image_size_suggests_a_valid_one(name: str, size: int, message: str) -> None:
    with pytest.raises(UserError, match=message), torch.device("meta"):
        MFER(name, attention="none", image_size=size)


def test_layer_decay_orders_learning_rates_and_embeddings_have_no_weight_decay() -> None:
    groups = {g["name"]: g for g in parameter_groups(vit(), lr=1.0, weight_decay=0.1, layer_decay=0.5)}
    assert {f"backbone_layer{i:02d}" for i in range(5)} <= set(groups)
    assert groups["backbone_layer00"]["lr"] < groups["backbone_layer04"]["lr"] <= groups["backbone"]["lr"] == 1.0
    embedding = vit().backbone.model.pos_embed
    assert any(p.shape == embedding.shape for p in groups["backbone_layer00_no_decay"]["params"])


def test_checkpointing_does_not_change_gradients() -> None:
    network, x = vit().train(), torch.randn(2, 3, 64, 64)

    def gradients() -> list[torch.Tensor]:
        network.zero_grad()
        network(x)["logits"].square().sum().backward()
        return [p.grad.clone() for p in network.parameters()]

    plain = gradients()
    network.backbone.set_checkpointing()
    for a, b in zip(plain, gradients(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
def test_network_compiles() -> None:
    network, x = vit(), torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(torch.compile(network)(x)["logits"], network(x)["logits"], rtol=1e-3, atol=1e-4)


def test_position_embeddings_of_a_file_are_interpolated(tmp_path: Path) -> None:
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=96, **TINY)
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    network = vit(64)
    report = load_weights(network, tmp_path / "timm.pth")
    assert report.new_parts == ("attention", "final norm", "head")
    assert torch.equal(network.backbone.model.blocks[0].attn.qkv.weight, theirs.blocks[0].attn.qkv.weight)
    assert torch.equal(network.backbone.model.pos_embed[:, 0], theirs.pos_embed[:, 0])  # of the class token
    # and those of our own checkpoint
    state = {f"network.{name}": value for name, value in vit(96).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "ours.ckpt")
    assert load_weights(network, tmp_path / "ours.ckpt").new == ()
    expected = timm.layers.resample_abs_pos_embed(state["network.backbone.model.pos_embed"], [4, 4])
    torch.testing.assert_close(network.backbone.model.pos_embed.data, expected)


def test_timm_normalisation_is_used() -> None:
    facts = with_own_normalisation({"mean": "timm", "std": "imagenet", "size": 64}, "vit_base_patch16_clip_224.openai")
    assert facts == {"mean": [0.48145466, 0.4578275, 0.40821073], "std": "imagenet", "size": 64}
    with pytest.raises(UserError, match="has no data configuration for 'nothing'"):
        with_own_normalisation({"mean": "timm"}, "nothing")
