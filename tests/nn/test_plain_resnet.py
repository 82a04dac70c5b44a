"""ResNets without timm equal timm's, bit for bit; options that only timm supports go to timm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER, build_network
from mfer_lightning.nn.backbones.plain_resnet import PlainResNet, prediction_only
from mfer_lightning.nn.regions import repeated_blocks
from mfer_lightning.optim import parameter_groups

NARROW = {"options": {"channels": [8, 12, 16, 20]}}
SMALL = {"stem": "small", **NARROW}
LINEAR = {"attention": "none", "head": "linear"}

CASES: dict[str, dict[str, Any]] = {
    "small": {
        "backbone": {
            "name": "resnet18",
            "drop_path_rate": 0.0,
            "stem": "small",
            "options": {"channels": [8, 64, 8, 8]},
        },
        "attention": "none",
        "image_size": 48,
    },
    "default": {"backbone": "resnet18", **LINEAR},
    "stride": {"backbone": {"name": "resnet18", **SMALL, "stem_stride": 1}, **LINEAR, "in_chans": 1, "image_size": 50},
    "attention": {"backbone": {"name": "resnet34", **SMALL, "norm": "none"}, "attention": "ds_depthwise"},
    "drop-path": {"backbone": {"name": "resnet18", **NARROW, "drop_path_rate": 0.2}, **LINEAR, "valence_arousal": True},
}


@pytest.mark.parametrize("case", CASES)
def test_equals_the_network_of_timm(case: str) -> None:
    torch.manual_seed(0)
    theirs = MFER(**CASES[case]).eval()
    with prediction_only():
        ours = MFER(**CASES[case]).eval()
    assert isinstance(ours.backbone.model, PlainResNet)
    assert not isinstance(theirs.backbone.model, PlainResNet)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():
        for name, value in theirs.state_dict().items():  # also the norms, which start as the identity
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) / 8)
    ours.load_state_dict(theirs.state_dict())

    for name in ("stages", "feature_dim", "has_map", "pool", "side", "pruned"):
        assert getattr(ours.backbone, name) == getattr(theirs.backbone, name), name
    assert len(repeated_blocks(ours)) == len(repeated_blocks(theirs))
    assert (ours.config, ours.outputs) == (theirs.config, theirs.outputs)
    image = torch.randn(2, theirs.config["in_chans"], 50, 46)
    with torch.inference_mode():
        expected, found = theirs(image), ours(image)
    assert found["logits"].std() > 0
    for name in ("feature", "logits", "map"):
        assert torch.equal(found[name], expected[name]), name


@pytest.mark.parametrize(
    "backbone",
    [
        {"name": "resnet18", "options": {"channels": [8, 8, 8, 8], "avg_down": True}},
        {"name": "resnet18.tv_in1k", **SMALL},
        {"name": "resnet10t", **SMALL},
    ],
    ids=lambda backbone: backbone["name"],
)
def test_other_networks_are_built_by_timm(backbone: dict[str, Any]) -> None:
    with prediction_only(), torch.device("meta"):
        network = MFER(backbone, **LINEAR)
    assert not isinstance(network.backbone.model, PlainResNet)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"options": {"channels": [8, 8, 8, "8"]}}, "timm cannot build backbone"),
        ({"stem": "small", "stem_stride": 4}, r"must be 1 or 2 or 3, but got 4.* original stem\.$"),
        ({"pool": "token"}, "has no class token"),
        ({"colour": 1}, "has no option 'colour'"),
    ],
    ids=["channels", "stride", "pool", "unknown"],
)
def test_illegal_options_are_rejected_as_by_timm(options: dict[str, Any], message: str) -> None:
    with prediction_only(), pytest.raises(UserError, match=message):
        MFER({"name": "resnet18", **options}, **LINEAR)


@pytest.fixture
def plain() -> MFER:
    with prediction_only():
        return MFER({"name": "resnet18", **SMALL}, 3, **LINEAR).eval()


@pytest.mark.parametrize(
    "use",
    [
        lambda network: network.train(),
        lambda network: network.backbone.model.train(True),
        lambda network: network.backbone.set_checkpointing(),
        lambda network: parameter_groups(network, lr=0.1, weight_decay=0.0, layer_decay=0.7),
    ],
    ids=["train", "model", "checkpointing", "layer_decay"],
)
def test_training_is_rejected_with_what_to_do(plain: MFER, use: Callable[[MFER], object]) -> None:
    with pytest.raises(UserError, match=r"for prediction only.*build_network\(network.config\).*weights=<checkpoint>"):
        use(plain)
    assert not plain.eval().backbone.model.training
    plain.backbone.set_checkpointing(False)


def test_the_same_network_can_be_built_for_training(plain: MFER) -> None:
    again = build_network(plain.config)
    again.load_state_dict(plain.state_dict())
    assert again.train().backbone.model.training
    image = torch.randn(2, 3, 40, 40)
    with torch.inference_mode():
        assert torch.equal(again.eval()(image)["logits"], plain(image)["logits"])


def test_the_model_alone_equals_that_of_timm(plain: MFER) -> None:
    model, theirs = plain.backbone.model, build_network(plain.config).eval().backbone.model
    theirs.load_state_dict(model.state_dict())
    image = torch.randn(2, 3, 40, 40)
    with torch.inference_mode():
        expected = theirs(image)
        assert torch.equal(model(image), expected)
        assert torch.equal(torch.fx.symbolic_trace(model)(image), expected)
