"""Face networks: the published sizes, maps for the attention, gradient checkpointing, layer decay and options."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from nn import face_files as files
from torch import nn

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER
from mfer_lightning.nn.backbones.faces import FACE_NETWORKS
from mfer_lightning.optim.layers import layer_scales

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "tools"))
import face_counts

DEEP = (3, 13, 30, 3)
PUBLIC = {
    "mobilefacenet": files.mobilefacenet(),
    "mixedfeaturenet": files.mixedfeaturenet(),
    "iresnet50": files.insightface(),
    "iresnet100": files.insightface(DEEP),
    "ir50_evolve": files.ir(False, True),
    "ir50_adaface": files.ir(True, False),
}
#: Options of small networks, one per structure (tests/nn/test_ddamfn.py covers MixedFeatureNet).
TINY = {
    "mobilefacenet": {"depths": [1, 1, 1]},
    "iresnet50": {"depths": [1, 1, 2, 1], "widths": [4, 8, 8, 16]},
    "ir50_evolve": {"depths": [1, 1, 2, 1], "widths": [4, 8, 8, 16]},
    "ir50_adaface": {"depths": [1, 1, 2, 1], "widths": [4, 8, 8, 16]},
}


def but_slow(names: Iterable[str], *quick: str) -> list[Any]:
    """All names; those not in the quick suite are marked."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def whole(name: str, embedding: int = files.EMBEDDING, **options: object) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = timm.create_model(name, num_classes=embedding, **options)
    return network


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def tiny(name: str, attention: str = "ds_depthwise", **options: object) -> MFER:
    torch.manual_seed(0)
    return MFER({"name": name, "options": {**TINY[name], **options}}, 5, attention=attention)


@pytest.mark.parametrize("face", face_counts.FACES, ids=lambda face: f"{face.backbone}-{face.embedding}")
def test_whole_networks_have_the_published_number_of_parameters(face):
    assert [published for published in face.published if not face_counts.agrees(face, published)] == []
    if face.embedding == files.EMBEDDING and not face.options:  # counted even without a published number
        assert face_counts.count(whole(face.backbone)) == files.parameters(PUBLIC[face.backbone])


def test_differing_parameter_counts_are_detected():
    evolve = next(face for face in face_counts.FACES if face.backbone == "ir50_evolve")
    for count in (43_574_976, "43.57"):
        assert face_counts.agrees(evolve, face_counts.Published(count, ""))
    for count in (43_574_977, "43.59", "43.6"):
        assert face_counts.agrees(evolve, face_counts.Published(count, "")) is (count == "43.6")


def test_table_of_parameter_counts_matches_the_script():
    page = face_counts.PAGE.read_text(encoding="utf-8")
    assert face_counts.page(page, face_counts.table()) == page


def test_mobilefacenet_with_folded_batch_norm_has_under_a_million_parameters():
    assert face_counts.count(whole("mobilefacenet", 128), "folded") == 993_344


@pytest.mark.parametrize("name", but_slow(FACE_NETWORKS, "ir50_evolve", "mixedfeaturenet"))
def test_tensors_match_the_published_files(name):
    found = {key: tuple(tensor.shape) for key, tensor in whole(name).state_dict().items()}
    assert found == PUBLIC[name]


def test_insightface_mobilefacenet_is_the_same_network_at_twice_the_width():
    ours, theirs = (whole("mobilefacenet", scale=2).state_dict(), files.insightface_mobilefacenet())
    assert sorted(tuple(t.shape) for t in ours.values()) == sorted(theirs.values())


@pytest.mark.parametrize("name", but_slow(FACE_NETWORKS, "iresnet50"))
def test_attention_stages_have_maps_of_14_and_7_at_112_pixels(name):
    with torch.device("meta"):
        stages = MFER(name, attention="ds_depthwise").backbone.stages
    assert [112 // stage.reduction for stage in stages] == [56, 28, 14, 7]
    assert not any(stage.problem for stage in stages)


@pytest.mark.parametrize("name", but_slow(TINY, "iresnet50"))
def test_training_step_reaches_every_weight_and_samples_are_independent(name):
    model = tiny(name)
    x = torch.randn(3, 3, 48, 48)
    nn.functional.cross_entropy(model(x)["logits"], torch.tensor([0, 1, 2])).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(x[:1])["logits"], model(x)["logits"][:1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", but_slow(TINY, "ir50_evolve"))
def test_gradient_checkpointing_gives_the_same_gradients(name):
    model, x = tiny(name).eval(), torch.randn(2, 3, 32, 32)
    gradients = []
    for recompute in (False, True):
        model.backbone.set_checkpointing(recompute)
        model.zero_grad()
        model(x)["logits"].square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("name", but_slow(FACE_NETWORKS, "mobilefacenet"))
def test_layer_decay_groups_follow_the_order_of_the_network(name):
    with torch.device("meta"):
        model = MFER(name, attention="ds")
    layers = {n: layer for n, (layer, _) in layer_scales(model, 0.5).items()}
    order = [n for n, p in model.named_parameters() if n in layers]
    assert [layers[n] for n in order] == sorted(layers.values())
    assert set(layers.values()) == set(range(max(layers.values()) + 1))
    # the stem is layer 0, each residual unit adds one; later modules belong to the last
    assert max(layers.values()) == {"mobilefacenet": 15, "mixedfeaturenet": 34, "iresnet100": 49}.get(name, 24)
    assert not any("attention" in n for n in layers)


def test_stages_can_be_omitted_as_in_poster():
    with torch.device("meta"):
        network = MFER({"name": "ir50_evolve", "options": {"depths": [3, 4, 14]}}, attention="none")
    assert network.feature_dim == 256
    assert [stage.module for stage in network.backbone.stages] == ["body.2", "body.6", "body.20"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("iresnet50", {"depths": [1, 1, 1, 1, 1]}, "one to four stages"),
        ("ir50_adaface", {"depths": [1, 1], "widths": [8, 16, 24]}, "one to four stages"),
        ("mobilefacenet", {"depths": [1, 1]}, "three positive integers"),
        ("mobilefacenet", {"scale": 0.5}, "positive integer, but got 0.5"),
        ("iresnet50", {"depths": "abc"}, "a whole number for each of one to four stages, but got abc"),
        ("ir50_evolve", {"depths": [1.5, 1]}, r"a whole number .* but got \[1.5, 1\]"),
        (
            "ir50_adaface",
            {"widths": [0, 8, 8, 8]},
            r"got \(3, 4, 14, 3\) and \[0, 8, 8, 8\]. Legal options are "
            r".* in mfer_li",
        ),
        ("mobilefacenet", {"depths": ["a", 1, 2]}, "three positive integers"),
        ("mixedfeaturenet", {"depths": ["a", 1, 2]}, r"three positive integers, but got \['a', 1, 2\]"),
        ("mixedfeaturenet", {"depths": 4}, "three positive integers, but got 4"),
        ("mixedfeaturenet", {"depths": [True, 1, 2]}, "three positive integers"),
        ("iresnet50", {"embedding": 3}, "unexpected keyword argument 'embedding'"),
    ],
)
def test_invalid_options_are_rejected(name, options, message):
    with pytest.raises(UserError, match=message):
        MFER({"name": name, "options": options}, attention="none")
