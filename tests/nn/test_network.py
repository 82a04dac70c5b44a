"""MFER as a whole: counts, outputs, configuration, errors."""

from __future__ import annotations

import json

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn import ATTENTIONS, MFER

SMALL = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}
SWIN = {
    "name": "swin_tiny_patch4_window7_224",
    "options": {"img_size": 64, "window_size": 2, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
}


def test_paper_network_has_the_published_number_of_parameters():
    with torch.device("meta"):  # shapes without 600 MB of numbers
        model = MFER()
    heads = sum(p.numel() for p in model.head.parameters())
    assert sum(p.numel() for p in model.parameters()) - heads == 153_438_016
    assert heads == 1_918_997
    assert (model.feature_dim, model.num_classes) == (1024, 7)
    assert model.config["backbone"]["drop_path_rate"] == 0.25
    assert model.backbone.model.stages[3].stage.blocks[-1].drop_path.drop_prob == 0.25
    assert model.backbone.norm.eps == 1e-6
    stages = model.backbone.model.stages
    assert [stages[i].attention.norm.eps for i in (2, 3)] == [1e-5, 1e-5]
    assert stages[2].stage.blocks[0].norm.eps == stages[3].stage.downsample[0].eps == 1e-6


def test_convnext_is_initialised_as_in_the_released_code_and_its_heads_as_in_pytorch():
    torch.manual_seed(0)
    model = MFER({**SMALL, "options": {"depths": [1, 1, 1, 1], "dims": [32, 32, 64, 128]}})
    layers = {n: m for n, m in model.named_modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))}
    trunk = {n: m for n, m in layers.items() if n.startswith("backbone.")}
    assert sum(".attention." in name for name in trunk) == 8
    for layer in trunk.values():
        count = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(0.02, rel=4 / (2 * count) ** 0.5)
        assert not layer.bias.any()
    heads = [m for n, m in layers.items() if n not in trunk]
    assert len(heads) == 6
    for layer in heads:
        bound = layer.in_features**-0.5  # uniform within it: PyTorch's default
        assert 0.9 * bound < layer.weight.abs().max().item() <= bound
        assert layer.bias.any()


@pytest.mark.parametrize("attention", list(ATTENTIONS))
@pytest.mark.parametrize("backbone", [SMALL, SWIN], ids=["NCHW", "NHWC"])
def test_every_attention_option_gives_outputs_and_gradients(attention, backbone):
    torch.manual_seed(0)
    model = MFER(backbone, 5, attention=attention)
    out = model(torch.randn(3, 3, 64, 64))
    assert out["feature"].shape == (3, model.feature_dim)
    assert out["logits"].shape == (3, 5)
    assert [h.shape for h in out["head_logits"]] == [(3, 5)] * 3
    torch.testing.assert_close(out["logits"], out["head_logits"][0] + out["head_logits"][1] + out["head_logits"][2])
    (out["logits"] * torch.randn(3, 5)).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []  # distributed training fails on unused parameters


@pytest.mark.parametrize("stages", [[], [1], [2, 4], [1, 2, 3, 4]])
def test_attention_follows_the_requested_stages(stages):
    model = MFER(SMALL, attention={"name": "ds_depthwise", "stages": stages})
    found = [int(n.split(".")[3]) + 1 for n, _ in model.named_modules() if n.endswith(".attention")]
    assert found == stages


def test_attention_changes_the_input_of_the_next_stage():
    model = MFER(SMALL, attention={"name": "ds", "stages": [1]}).eval()
    x, seen = torch.randn(1, 3, 64, 64), []
    model.backbone.model.stages[1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    wrapped = model.backbone.model.stages[0]
    model(x)
    expected = wrapped.attention(wrapped.stage(model.backbone.model.stem(x)))
    torch.testing.assert_close(seen[0], expected)


def test_feature_is_the_layer_norm_of_the_pooled_map():
    model = MFER(SMALL).eval()
    torch.nn.init.normal_(model.backbone.norm.weight)
    x = torch.randn(2, 3, 64, 64)
    pooled = model.backbone.model.forward_features(x).flatten(2).mean(2)
    centred = pooled - pooled.mean(1, keepdim=True)
    normed = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(
        model(x)["feature"], normed * model.backbone.norm.weight + model.backbone.norm.bias, rtol=1e-4, atol=1e-5
    )


def test_drop_path_is_active_only_in_training_mode():
    model = MFER({**SMALL, "drop_path_rate": 0.5})
    x = torch.randn(4, 3, 64, 64)
    assert model.training  # probing the backbone did not change the mode
    torch.manual_seed(0)
    first, second = model(x)["logits"], model(x)["logits"]
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(model(x)["logits"], model(x)["logits"])


def test_bfloat16_autocast_is_finite_and_sums_logits_in_float32():
    model = MFER(SMALL).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(x)
    assert out["logits"].dtype == torch.float32
    out["logits"].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_channels_last_changes_only_the_memory_format():
    model = MFER(SMALL).eval()
    x = torch.randn(2, 3, 64, 64)
    expected = model(x)["logits"]
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x.to(memory_format=torch.channels_last))["logits"], expected)


@pytest.mark.parametrize(
    "arguments",
    [
        {"backbone": SMALL, "num_classes": 8},
        {"backbone": {**SMALL, "stem": "small", "drop_path_rate": 0.1}, "attention": {"name": "ds", "stages": (2, 3)}},
        {"backbone": SWIN, "attention": "none", "head": "linear"},
        {"backbone": SMALL, "attention": "conv", "head": {"name": "multiscale", "grouping": "pair", "scales": 2}},
        {"backbone": {**SMALL, "norm": "none"}, "attention": "dynamic", "in_chans": 1},
    ],
)
def test_config_round_trips_through_json(arguments):
    first = MFER(**arguments).eval()
    second = MFER(**json.loads(json.dumps(first.config))).eval()
    assert second.config == first.config
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, first.config["in_chans"], 64, 64)
    assert torch.equal(second(x)["logits"], first(x)["logits"])


def test_building_does_not_modify_the_config():
    given = {"name": "convnext_atto", "options": {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}}
    model = MFER(given, attention="none")
    assert given == {"name": "convnext_atto", "options": {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}}
    model.config["backbone"]["options"]["depths"].append(9)
    assert given["options"]["depths"] == (1, 1, 1, 1)


def test_same_seed_gives_the_same_network_also_under_no_grad():
    torch.manual_seed(3)
    first = MFER(SMALL)
    torch.manual_seed(3)
    with torch.no_grad():
        second = MFER(SMALL)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert all(p.requires_grad for p in second.parameters())


def test_integer_images_raise_value_error():
    with pytest.raises(ValueError, match=r"normalised floats, but got torch.uint8\. Pass it through Preprocess"):
        MFER(SMALL)(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "convnext_bse"}, r"Unknown backbone 'convnext_bse': did you mean .*'convnext_base'"),
        ({"backbone": {"options": {}}}, "The backbone must be a name"),
        ({"backbone": 5}, "The backbone must be a name"),
        ({"backbone": {**SMALL, "drop_path": 0.1}}, r"no option 'drop_path': did you mean 'drop_path_rate'\?"),
        ({"backbone": {**SMALL, "stem": "tiny"}}, "`stem` must be one of default, small, not 'tiny'"),
        ({"backbone": {**SMALL, "norm": "batch"}}, "`norm` must be one of layer, none, not 'batch'"),
        ({"backbone": {**SMALL, "stem_stride": 1}}, "`stem_stride` needs `stem: small`"),
        ({"backbone": {"name": "convnext_atto", "options": [1]}}, "`options` must be a mapping"),
        ({"backbone": {"name": "convnext_atto", "options": {"width": 3}}}, r"timm.*convnext_atto.*'width'"),
        ({"backbone": {"name": "convnext_atto", "options": {"num_classes": 3}}}, "must not set num_classes"),
        ({"backbone": {"name": "convnext_atto", "options": {"act": object()}}}, "must be text, numbers"),
        ({"attention": "sd"}, r"Unknown attention 'sd': did you mean 'ds'\?"),
        ({"attention": {"name": "ds", "kernel": 5}}, r"'ds' has no option 'kernel': did you mean 'kernel_size'\?"),
        ({"attention": {"name": "none", "kernel_size": 5}}, "'none' has no option 'kernel_size': it has no options"),
        ({"attention": {"name": "ds", "kernel_size": 6}}, "Attention 'ds'.*`kernel_size`.*got 6"),
        ({"attention": {"name": "ds", "stages": [5]}}, "has stages 1 to 4; attention cannot be placed after 5"),
        ({"attention": {"name": "ds", "stages": [0]}}, "has stages 1 to 4; attention cannot be placed after 0"),
        ({"attention": {"name": "ds", "stages": [3, 3]}}, "`stages` must be a list of different stage numbers"),
        ({"attention": {"name": "ds", "stages": 3}}, "`stages` must be a list"),
        ({"head": "multi"}, r"Unknown head 'multi': did you mean 'multiscale'\?"),
        ({"head": {"name": "multiscale", "scales": 9}}, "Head 'multiscale'.*`scales`"),
        ({"head": {"name": "linear", "groups": 4}}, "'linear' has no option 'groups': it has no options"),
        ({"num_classes": 1}, "`num_classes` to be an integer of at least 2"),
    ],
)
def test_invalid_options_list_the_valid_ones(arguments, message):
    with pytest.raises(UserError, match=message):
        MFER(**{"backbone": SMALL, **arguments})


def test_timm_names_are_mapped():
    model = MFER(SMALL)
    names = {n: model.backbone.timm_name(n) for n in model.backbone.state_dict()}
    assert names["model.stages.2.stage.blocks.0.gamma"] == "stages.2.blocks.0.gamma"
    assert names["model.stem.0.weight"] == "stem.0.weight"
    assert names["model.stages.2.attention.value.weight"] is None
    assert names["norm.weight"] is None
    matcher = model.backbone.model.group_matcher()
    assert matcher["stem"] == "^stem"  # the layer-wise decay of timm matches these names
