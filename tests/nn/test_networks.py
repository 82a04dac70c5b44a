"""Requirements for every network: outputs, classifier, description, gradients, bfloat16."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn import DAN, DDAMFN, NETWORKS, Network, build_network

#: Small networks of each kind, and the side of their images.
TINY: dict[str, tuple[dict[str, Any], int]] = {
    "mfer": ({"backbone": "resnet10t", "attention": "none"}, 64),
    "ddamfn": (
        {
            "name": "ddamfn",
            "backbone": {"name": "mixedfeaturenet", "options": {"depths": [1, 1, 1], "width": 8}},
            "image_size": 64,
        },
        64,
    ),
    "poster2": (
        {
            "name": "poster2",
            "depths": [1, 1, 1],
            "widths": [8, 8, 16],
            "landmark_depths": [1, 1, 1],
            "embed_dim": 16,
            "inner_size": 32,
        },
        64,
    ),
    "dan": ({"name": "dan", "backbone": "resnet10t", "heads": 2}, 64),
}


def tiny(name: str, classes: int = 5) -> tuple[Network, torch.Tensor]:
    torch.manual_seed(0)
    options, side = TINY[name]
    return build_network({**options, "num_classes": classes}).eval(), torch.randn(3, 3, side, side)


def test_every_network_is_tested_here() -> None:
    assert set(TINY) == set(NETWORKS)


@pytest.mark.parametrize("name", TINY)
class TestEveryNetwork:
    def test_returns_the_declared_outputs(self, name: str) -> None:
        network, image = tiny(name)
        output = network(image)
        assert tuple(output) == network.outputs
        assert output["feature"].shape == (3, network.feature_dim)
        assert output["logits"].shape == (3, 5)
        torch.testing.assert_close(sum(output["head_logits"]), output["logits"])
        with pytest.raises(ValueError, match="normalised floats"):
            network(image.to(torch.uint8))

    def test_classifier_matches_the_logits(self, name: str) -> None:
        network, image = tiny(name)
        output = network(image)
        for found, expected in zip(network.classify(output["feature"]), output["head_logits"], strict=True):
            torch.testing.assert_close(found, expected)

    def test_is_rebuilt_from_its_description(self, name: str) -> None:
        network, image = tiny(name)
        again = build_network(json.loads(json.dumps(network.config))).eval()
        assert type(again) is type(network)
        again.load_state_dict(network.state_dict())
        torch.testing.assert_close(again(image)["logits"], network(image)["logits"])

    def test_every_weight_learns_in_float32_and_bfloat16(self, name: str) -> None:
        network, image = tiny(name)
        network.train()
        for autocast in (False, True):
            network.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                output = network(image)
                network_loss = output["logits"].float().square().sum() + output["feature"].float().square().mean()
            network_loss.backward()
            learned = [p for p in network.parameters() if p.requires_grad]
            assert all(p.grad is not None and p.grad.isfinite().all() for p in learned)

    def test_prediction_does_not_depend_on_the_batch(self, name: str) -> None:
        network, image = tiny(name)
        torch.testing.assert_close(network(image[:1])["logits"], network(image)["logits"][:1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "dun"}, "network=dun: did you mean 'dan'"),
        ({"name": "os.system"}, "network=os.system: "),
        ({"name": ["mfer"]}, r"network=\['mfer'\]: did you mean 'mfer'"),
        ({"name": None}, "network=None: legal: "),
        (["mfer"], r"The network must be a mapping with `name` and options, not \['mfer'\]"),
        ({"name": "dan", "head": 4}, "The network 'dan' has no option 'head': did you mean 'heads'"),
        ({"name": "dan", "backbone": "vit_tiny_patch16_224", "image_size": 32}, None),
    ],
)
def test_invalid_descriptions_are_rejected(config: Any, message: str | None) -> None:
    if message is None:
        assert build_network(config).outputs
        return
    with pytest.raises(UserError, match=message):
        build_network(config)


@pytest.mark.parametrize("network", [DAN, DDAMFN])
class TestPeerBackbones:
    def test_requires_a_map(self, network: type[DAN | DDAMFN]) -> None:
        without: dict[str, Any] = {"name": "vit_tiny_patch16_224", "pool": "token"}
        with pytest.raises(
            UserError, match=rf"{network.__name__} attends to the last map of its backbone, but 'vit_tiny_patch16_224'"
        ):
            network(backbone=without, image_size=32)

    @pytest.mark.parametrize("backbone", [None, 3, {"options": {}}, {"name": None}])
    def test_requires_a_name(self, network: type[DAN | DDAMFN], backbone: Any) -> None:
        with pytest.raises(UserError, match="The backbone must be a name"):
            network(backbone=backbone)
