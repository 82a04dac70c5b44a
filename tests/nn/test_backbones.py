"""Backbone families: each builds, trains a step and predicts at a small size; unsupported attention gives an error."""

from __future__ import annotations

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER

#: family -> (backbone, image side). Narrow and shallow where timm's constructor allows, to be quick.
QUICK = {
    "convnext": ({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}, 64),
    "convnextv2": ({"name": "convnextv2_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}, 64),
    "resnet": ({"name": "resnet18", "options": {"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]}}, 64),
    "regnet": ({"name": "regnety_002"}, 64),
    "mobilenetv4": ({"name": "mobilenetv4_conv_small_050"}, 64),
    "swin": (
        {
            "name": "swin_tiny_patch4_window7_224",
            "options": {
                "img_size": 64, "window_size": 2, "embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 1, 2, 2]
            },
        },
        64,
    ),
    "edgenext": ({"name": "edgenext_xx_small"}, 64),
}  # fmt: skip
SLOW = {
    "efficientnet": ({"name": "efficientnet_b0"}, 64),
    "swinv2": ({"name": "swinv2_cr_tiny_224", "options": {"img_size": 64, "window_size": 2}}, 64),
    "densenet": ({"name": "densenet121"}, 64),
    "mobilenetv3": ({"name": "mobilenetv3_small_100"}, 64),
    "vgg": ({"name": "vgg11_bn"}, 64),
    "maxvit": ({"name": "maxvit_pico_rw_256", "options": {"img_size": 64}}, 64),
    "poolformer": ({"name": "poolformer_s12"}, 64),
    "fastvit": ({"name": "fastvit_t8"}, 64),
    "pvt_v2": ({"name": "pvt_v2_b0"}, 64),
    "mambaout": ({"name": "mambaout_femto"}, 64),
    "repvit": ({"name": "repvit_m0_9"}, 64),
    "inception_next": ({"name": "inception_next_atto"}, 64),
}
FAMILIES = [
    *(pytest.param(*case, id=family) for family, case in QUICK.items()),
    *(pytest.param(*case, id=family, marks=pytest.mark.slow) for family, case in SLOW.items()),
]


@pytest.mark.parametrize(("backbone", "side"), FAMILIES)
def test_family_trains_one_step_and_predicts(backbone, side):
    torch.manual_seed(0)
    model = MFER(backbone, 5, attention="ds_depthwise")
    x, y = torch.randn(4, 3, side, side), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    first, last = next(model.parameters()), next(model.head.parameters())
    before = first.detach().clone(), last.detach().clone()
    loss = torch.nn.functional.cross_entropy(model(x)["logits"], y)
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    optimizer.step()
    assert not torch.equal(first, before[0])  # the gradient reaches the stem
    assert not torch.equal(last, before[1])
    model.eval()
    with torch.inference_mode():
        logits = model(x)["logits"]
        alone = model(x[:1])["logits"]
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(alone, logits[:1], rtol=1e-3, atol=1e-4)  # the rest of the batch does not matter


def test_stages_are_the_last_four_resolutions():
    for backbone in (QUICK["convnext"][0], QUICK["resnet"][0], QUICK["mobilenetv4"][0], QUICK["swin"][0]):
        stages = MFER(backbone, attention="none").backbone.stages
        assert [stage.reduction for stage in stages] == [4, 8, 16, 32], backbone


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hrnet_w18_small", "its output is a list of 3 parts, not one map"),
        ("levit_128s", r"has stages 1 to 3; attention cannot be placed after 4\. Use attention.stages=\[2,3\]"),
        ("twins_svt_small", "it is not called in a forward pass"),
        ("nest_tiny", "has stages 1 to 3; attention cannot be placed after 4"),
        ("crossvit_tiny_240", "does not end in a feature map but in a list of 2 parts"),
    ],
)
def test_backbone_that_cannot_use_attention_explains_why(name, message):
    with pytest.raises(UserError, match=message):
        MFER(name, attention="ds_depthwise")


def test_plain_transformer_works_without_attention():
    model = MFER("vit_tiny_patch16_224", attention="none", head="linear").eval()
    x = torch.randn(2, 3, 224, 224)
    tokens = model.backbone.model.forward_features(x)[:, 1:]  # the first is the class token
    torch.testing.assert_close(model(x)["feature"], model.backbone.norm(tokens.mean(1)))


@pytest.mark.parametrize(
    ("family", "reductions"),
    [
        ("convnext", [2, 4, 8, 16]),
        ("resnet", [2, 4, 8, 16]),
        ("regnet", [2, 4, 8, 16]),
        ("mobilenetv4", [2, 4, 8, 16]),
        ("swin", [2, 4, 8, 16]),
        ("edgenext", [2, 4, 8, 16]),
    ],
)
def test_small_stem_halves_every_reduction(family, reductions):
    backbone, _ = QUICK[family]
    if family == "swin":  # its windows must divide the larger maps too: they do at 64 px
        backbone = {**backbone, "options": {**backbone["options"], "img_size": 64}}
    model = MFER({**backbone, "stem": "small"}, 5, attention="ds_depthwise")
    assert [stage.reduction for stage in model.backbone.stages] == reductions
    assert model.eval()(torch.randn(1, 3, 64, 64))["logits"].shape == (1, 5)


def test_small_resnet_stem_is_one_3x3_convolution_without_pooling():
    for stride in (1, 2):
        model = MFER({**QUICK["resnet"][0], "stem": "small", "stem_stride": stride}, attention="none")
        conv, pool = model.backbone.model.conv1, model.backbone.model.maxpool
        assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (stride, stride), (1, 1))
        assert isinstance(pool, torch.nn.Identity)
        assert model.backbone.stages[0].reduction == stride


def test_small_convnext_stem_is_a_smaller_patch():
    for stride in (1, 2):
        model = MFER({**QUICK["convnext"][0], "stem": "small", "stem_stride": stride}, attention="none")
        conv = model.backbone.model.stem[0]
        assert conv.kernel_size == conv.stride == (stride, stride)


def test_attention_with_a_7x7_kernel_works_on_4x4_and_smaller_maps():
    model = MFER({**QUICK["convnext"][0], "stem": "small"}).eval()
    assert model(torch.randn(1, 3, 64, 64))["logits"].isfinite().all()  # stage 4 is 4x4
    assert model(torch.randn(1, 3, 16, 16))["logits"].isfinite().all()  # and here 1x1


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"name": "vgg11", "stem": "small"}, "has no stem that can be made small"),
        ({"name": "fastvit_t8", "stem": "small"}, "has no stem that can be made small"),
        ({**QUICK["convnext"][0], "stem": "small", "stem_stride": 4}, "must be 1 or 2, but got 4.* and divide it"),
        ({**QUICK["convnext"][0], "stem": "small", "stem_stride": 3}, "must be 1 or 2, but got 3"),
        (
            {"name": "swin_tiny_patch4_window7_224", "stem": "small", "options": {"patch_size": 2}},
            "either `stem: small` or `options.patch_size`",
        ),
        ({"name": "coatnet_nano_rw_224", "stem": "small"}, "does not run on images of 224x224"),
    ],
)
def test_unsupported_small_stems_explain_why(backbone, message):
    with pytest.raises(UserError, match=message):
        MFER(backbone, attention="none")


def test_backbone_without_drop_path_accepts_rate_zero():
    with torch.device("meta"):
        MFER({"name": "ghostnet_100", "drop_path_rate": 0.0}, attention="none")
        with pytest.raises(UserError, match=r"has no drop-path\. Use backbone\.drop_path_rate=0"):
            MFER({"name": "ghostnet_100", "drop_path_rate": 0.1}, attention="none")
