"""Every trainable parameter is in exactly one group, with the right decay and rate."""

from __future__ import annotations

import pytest
import timm
from torch import nn

from mfer_lightning.losses import CrossEntropy, DSFLoss, LGMLoss, Objective
from mfer_lightning.nn import MFER
from mfer_lightning.optim import parameter_groups

TINY = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}


@pytest.fixture(scope="module")
def network():
    return MFER({"name": "convnext_atto", "options": TINY}, 7)


def names_of(groups, network):
    """Group name -> names of the network's parameters in it."""
    known = {id(p): n for n, p in network.named_parameters()}
    return {g["name"]: {known[id(p)] for p in g["params"] if id(p) in known} for g in groups}


@pytest.mark.parametrize("layer_decay", [None, 0.7])
def test_every_trainable_parameter_is_in_exactly_one_group(network, layer_decay):
    objective = Objective(CrossEntropy(), LGMLoss(7, network.feature_dim, covariance="diagonal"))
    groups = parameter_groups(network, objective, lr=1.0, weight_decay=0.05, layer_decay=layer_decay)
    grouped = [id(p) for g in groups for p in g["params"]]
    expected = [id(p) for p in [*network.parameters(), *objective.parameters()]]
    assert sorted(grouped) == sorted(expected)
    assert len({g["name"] for g in groups}) == len(groups)


def test_vectors_centres_and_covariances_are_not_decayed(network):
    objective = Objective(CrossEntropy(), LGMLoss(7, network.feature_dim, covariance="diagonal"))
    groups = parameter_groups(network, objective, lr=1.0, weight_decay=0.05)
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        assert decay[id(parameter)] == (0.05 if parameter.ndim > 1 else 0.0), name
    # The same parameters again, selected by module and name instead of by number of dimensions.
    norms = {f"{n}.weight" for n, m in network.named_modules() if "Norm" in type(m).__name__}
    others = {n for n, _ in network.named_parameters() if n.endswith((".bias", ".gamma"))}
    assert {n for n, p in network.named_parameters() if decay[id(p)] == 0} == norms | others
    for parameter in objective.parameters():
        assert decay[id(parameter)] == 0


def test_heads_and_centres_have_their_own_learning_rates(network):
    objective = DSFLoss(7, network.feature_dim)
    groups = parameter_groups(network, objective, lr=0.1, weight_decay=0.05, head_lr_scale=10.0, center_lr_scale=0.5)
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        assert rates[id(parameter)] == pytest.approx(1.0 if name.startswith("head.") else 0.1)
    assert rates[id(objective.centers)] == pytest.approx(0.05)


def test_frozen_parameters_are_excluded():
    network = nn.ModuleDict({"backbone": nn.Linear(3, 3), "head": nn.Linear(3, 2)})
    network["backbone"].requires_grad_(False)
    groups = parameter_groups(network, lr=1.0, weight_decay=0.1)
    assert [g["name"] for g in groups] == ["head", "head_no_decay"]
    network.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        parameter_groups(network, lr=1.0, weight_decay=0.1)


def test_parameters_excluded_by_the_backbone_are_not_decayed():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, depth=1)
    groups = parameter_groups(model, lr=1.0, weight_decay=0.05)
    assert {"pos_embed", "cls_token"} <= names_of(groups, model)["backbone_no_decay"]
    assert model.pos_embed.ndim > 1  # not because it is a vector


def test_layer_decay_decreases_towards_the_stem_and_excludes_new_layers(network):
    groups = parameter_groups(network, lr=1.0, weight_decay=0.05, layer_decay=0.5)
    rates = {n: g["lr"] for g in groups for n in names_of([g], network)[g["name"]]}

    def rate(prefix):
        found = {value for name, value in rates.items() if name.startswith(f"backbone.model.{prefix}")}
        assert len(found) == 1, (prefix, found)
        return found.pop()

    # timm counts the blocks of ConvNeXt one by one after the stem; stages 3 and 4 carry attention (".stage.").
    order = [
        "stem",
        "stages.0.blocks.0",
        "stages.1.blocks.0",
        "stages.2.stage.blocks.0",
        "stages.2.stage.blocks.1",
        "stages.3.stage.blocks.0",
    ]
    assert [rate(prefix) for prefix in order] == [0.5**i for i in (5, 4, 3, 2, 1, 0)]
    for name, value in rates.items():
        if ".attention." in name or name.startswith(("head.", "backbone.norm")):
            assert value == 1.0, name


@pytest.mark.parametrize("backbone", ["resnet10t", "efficientnet_lite0", "regnetx_002", "convnextv2_atto"])
def test_layers_match_timm_if_nothing_was_inserted(backbone):
    from timm.optim import param_groups_layer_decay

    model = timm.create_model(backbone, num_classes=0)
    ours = parameter_groups(model, lr=1.0, weight_decay=0.05, layer_decay=0.75)
    theirs = param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.75)
    expected = {id(p): (g["lr_scale"], g["weight_decay"]) for g in theirs for p in g["params"]}
    found = {id(p): (g["lr"], g["weight_decay"]) for g in ours for p in g["params"]}
    assert found.keys() == expected.keys()
    for key, (scale, decay) in found.items():
        assert scale == pytest.approx(expected[key][0])
        assert decay == expected[key][1]


def test_layer_decay_requires_a_group_matcher():
    with pytest.raises(ValueError, match="group_matcher"):
        parameter_groups(nn.Linear(2, 2), lr=1.0, weight_decay=0.0, layer_decay=0.5)


def test_compiled_network_has_the_same_groups(network):
    groups = parameter_groups(network, lr=1.0, weight_decay=0.05, head_lr_scale=2.0)
    wrapper = nn.Module()  # torch.compile's wrapper holds the network under this name
    wrapper._orig_mod = network
    compiled = parameter_groups(wrapper, lr=1.0, weight_decay=0.05, head_lr_scale=2.0)
    assert [(g["name"], g["lr"], [id(p) for p in g["params"]]) for g in groups] == [
        (g["name"], g["lr"], [id(p) for p in g["params"]]) for g in compiled
    ]


def test_shared_parameter_raises_value_error(network):
    with pytest.raises(ValueError, match="share"):
        parameter_groups(network, network.head, lr=1.0, weight_decay=0.0)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"lr": 0.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"head_lr_scale": -1.0}, "head_lr_scale"),
        ({"center_lr_scale": float("inf")}, "center_lr_scale"),
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"layer_decay": 1.5}, "layer_decay"),
    ],
)
def test_invalid_arguments_raise_value_error(options, argument):
    with pytest.raises(ValueError, match=rf"Expected argument `{argument}`"):
        parameter_groups(nn.Linear(2, 2), **{"lr": 1.0, "weight_decay": 0.0, **options})
