"""Grad-CAM and attention weights: correct where the truth is known, with the right shape for all families."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from analysis.conftest import FAMILIES, NAMES, build
from torch import Tensor, nn

from mfer_lightning.analysis.attention_maps import attention_maps
from mfer_lightning.analysis.gradcam import activation_maps, explain, stage_of, target_layer
from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn import MFER, Preprocess


class TwoQuarters(nn.Module):
    """A network whose logits are the brightness of the upper left and of the lower right quarter."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(8)
        self.last = nn.Identity()
        self.layout = layout
        self.weight = nn.Parameter(torch.ones(1))  # the package determines the device from a parameter
        self.backbone = SimpleNamespace(
            stages=(SimpleNamespace(module="last", reduction=8, layout=layout),), model=self
        )

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        # Channel 0 sees only the upper left quarter, channel 1 the lower right.
        light = self.pool(pixels.mean(1, keepdim=True))
        half = light.shape[-1] // 2
        maps = torch.zeros(len(pixels), 2, *light.shape[2:])
        maps[:, 0, :half, :half] = light[:, 0, :half, :half]
        maps[:, 1, half:, half:] = light[:, 0, half:, half:]
        maps = self.last(maps if self.layout == "NCHW" else maps.permute(0, 2, 3, 1))
        logits = maps.mean((2, 3) if self.layout == "NCHW" else (1, 2)) * self.weight
        return {"logits": logits, "feature": logits}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_map_highlights_the_region_that_the_logit_depends_on(layout: str) -> None:
    network = TwoQuarters(layout).requires_grad_(False)
    model = FERModel(network, Preprocess(size=64, mean="none", std="none"), NAMES[:2])  # type: ignore[arg-type]
    light = torch.full((2, 3, 32, 32), 200, dtype=torch.uint8)
    maps = explain(model, light, classes=[0, 1])
    assert maps.shape == (2, 32, 32)
    assert maps[0, :12, :12].min() > 0.9
    assert maps[0, 20:].max() < 0.1
    assert maps[0, :, 20:].max() < 0.1
    assert maps[1, 20:, 20:].min() > 0.9
    assert maps[1, :12].max() < 0.1


def test_predicted_class_is_explained_by_default() -> None:
    network = TwoQuarters("NCHW").requires_grad_(False)
    model = FERModel(network, Preprocess(size=64, mean="none", std="none"), NAMES[:2])  # type: ignore[arg-type]
    face = torch.full((1, 3, 64, 64), 50, dtype=torch.uint8)
    face[..., 32:, 32:] = 250
    np.testing.assert_array_equal(explain(model, face), explain(model, face, classes=[1]))


def test_map_without_positive_evidence_is_zero() -> None:
    network = TwoQuarters("NCHW").requires_grad_(False)
    found = activation_maps(network, torch.zeros(1, 3, 64, 64), network.last, classes=[0])
    assert found.max() == 0


@pytest.mark.parametrize(
    ("family", "method"),
    [*((family, "gradcam") for family in FAMILIES), ("resnet", "hirescam"), ("swin", "layercam")],
)
def test_every_family_gives_full_size_maps_and_is_unchanged(family: str, method: str, faces: Tensor) -> None:
    model = build(family)
    before = model(faces)["logits"]
    maps = explain(model, faces, classes=[0, 1, 2], method=method, batch_size=2)
    assert maps.shape == (3, 48, 40)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert maps.max() > 0.5
    torch.testing.assert_close(model(faces)["logits"], before)
    assert not any(p.requires_grad or p.grad is not None for p in model.network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_map_does_not_depend_on_the_batch(family: str, faces: Tensor) -> None:
    model = build(family)
    together = explain(model, faces, classes=[2, 0, 1])
    for i, k in enumerate((2, 0, 1)):
        np.testing.assert_allclose(explain(model, faces[i : i + 1], classes=[k])[0], together[i], atol=1e-4)


def test_deepest_stage_with_a_useful_map_is_chosen() -> None:
    model = build("convnext")
    stages = model.network.backbone.stages
    modules = [model.network.backbone.model.get_submodule(s.module) for s in stages]
    faces = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    assert stage_of(model, faces) == 3  # 64 pixels, independent of the size of the faces
    assert stage_of(model, faces, stage=4) == 4
    assert [target_layer(model, n)[0] for n in (1, 2, 3, 4)] == modules
    assert [m.__class__.__name__ for m in modules[2:]] == ["AttendedStage"] * 2


def test_works_within_inference_mode(faces: Tensor) -> None:
    model = build("resnet")
    with torch.inference_mode():
        inside = explain(model, faces, classes=[0, 0, 0])
    np.testing.assert_allclose(inside, explain(model, faces, classes=[0, 0, 0]), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": [0]}, "`classes` to contain 3 numbers"),
        ({"classes": [0, 1, 3]}, r"within \[0, 2\]"),
        ({"stage": 5}, r"`stage` within \[1, 4\]"),
        ({"method": "magic"}, "`method` to be one of"),
    ],
)
def test_invalid_arguments_raise_value_error(change: dict, message: str, faces: Tensor) -> None:
    with pytest.raises(ValueError, match=message):
        explain(build("resnet", "none"), faces, **change)
    with pytest.raises(ValueError, match="`faces` to be uint8"):
        explain(build("resnet", "none"), faces.float(), **change)


def test_empty_batch_gives_no_maps(faces: Tensor) -> None:
    assert explain(build("resnet", "none"), faces[:0]).shape == (0, 48, 40)


def test_missing_package_raises_one_clear_error(monkeypatch: pytest.MonkeyPatch, faces: Tensor) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(UserError, match=r"pip install 'mfer_lightning\[cam\]'"):
        explain(build("resnet", "none"), faces)


def test_backbone_without_maps_raises_one_clear_error(faces: Tensor) -> None:
    vit = {"name": "vit_tiny_patch16_224", "options": {"img_size": 64, "depth": 1, "embed_dim": 24, "num_heads": 2}}
    network = MFER(vit, 3, attention="none")
    network.backbone.stages = ()
    with pytest.raises(UserError, match="lists no stages"):
        explain(FERModel(network, Preprocess(size=64), NAMES), faces)


@pytest.mark.parametrize("pool", ["avg", "token"])
def test_tokens_are_mapped_to_their_position_in_the_face(pool: str, faces: Tensor) -> None:
    torch.manual_seed(0)
    vit = {"name": "vit_tiny_patch16_224", "pool": pool, "options": {"depth": 4, "embed_dim": 24, "num_heads": 2}}
    network = MFER(vit, 3, attention={"name": "ds_depthwise", "stages": [2, 3]}, image_size=64)
    model = FERModel(network, Preprocess(size=64), NAMES)
    # with the class token as the feature, the positions after the last block have no gradient
    assert stage_of(model, faces) == {"avg": 4, "token": 3}[pool]
    found = explain(model, faces)
    assert found.shape == (len(faces), *faces.shape[-2:])
    assert found.max() > 0
    maps = attention_maps(model, faces)
    assert [m.stage for m in maps] == [2, 3]
    np.testing.assert_allclose(maps[0].mean.sum((1, 2)), 1, rtol=1e-4)
    assert maps[0].weights.shape[2:] == (4, 4)


@pytest.mark.parametrize(
    ("family", "attention"),
    [*((f, "ds") for f in FAMILIES), ("resnet", "ds_depthwise"), ("convnext", "dynamic"), ("swin", "static")],
)
def test_weights_sum_to_one_over_the_positions_of_each_channel(family: str, attention: str, faces: Tensor) -> None:
    found = attention_maps(build(family, attention), faces, batch_size=2)
    assert [maps.stage for maps in found] == [3, 4]
    for maps in found:
        assert maps.weights.shape[0] == 3
        np.testing.assert_allclose(maps.weights.sum(axis=(2, 3)), 1, atol=1e-5)
        np.testing.assert_allclose(maps.mean.sum(axis=(1, 2)), 1, atol=1e-5)
        assert maps.weights.min() >= 0


def test_weights_match_those_used_by_the_module(faces: Tensor) -> None:
    """Undo the module's last step: (output - input) = weights * value."""
    model = build("convnext")
    module = model.network.backbone.model.get_submodule("stages.2").attention
    seen: dict[str, Tensor] = {}
    handle = module.register_forward_hook(lambda m, i, o: seen.update(x=i[0], y=o))
    (third, _) = attention_maps(model, faces)
    handle.remove()
    value = module.value(seen["x"].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(torch.from_numpy(third.weights) * value, seen["y"] - seen["x"], atol=1e-5, rtol=1e-4)


def test_most_active_channels_have_the_highest_peaks(faces: Tensor) -> None:
    (third, _) = attention_maps(build("resnet"), faces)
    order = third.most_active(16)
    assert sorted(order[0].tolist()) == list(range(16))
    peaks = (third.weights[0] ** 2).sum(axis=(1, 2))
    assert peaks[order[0]].tolist() == sorted(peaks.tolist(), reverse=True)


@pytest.mark.parametrize("attention", ["none", "conv"])
def test_network_without_attention_has_no_weights(attention: str, faces: Tensor) -> None:
    assert attention_maps(build("resnet", attention), faces) == []
