"""Names unknown to timm are rejected with suggestions."""

from __future__ import annotations

import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones.model_names import check_model_name


@pytest.mark.parametrize("name", ["vit_small_patch16_224", "convnext_tiny.dinov3_lvd1689m", "iresnet50"])
def test_known_names_pass(name: str) -> None:
    check_model_name(name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("vit_smal", "'vit_small_patch16_224'"),  # the beginning of a name
        ("dinov2", "_patch14_dinov2'"),  # a part of it
        ("ir50", "'ir50_evolve' or 'ir50_adaface'"),  # also our own networks
        ("vit_tiny_patch16_244", "'vit_tiny_patch16_224'"),  # misspelled
        ("timm/vit_base_patch16_224", "'vit_base_patch16_224'"),
    ],
)
def test_closest_names_are_suggested(name: str, nearest: str) -> None:
    with pytest.raises(UserError) as refusal:
        check_model_name(name)
    said = str(refusal.value)
    assert said.startswith(f"Unknown backbone '{name}': did you mean ")
    assert nearest in said


@pytest.mark.parametrize("name", ["zzz", "resnt18"])
def test_valid_names_are_summarised_in_one_line(name: str) -> None:
    with pytest.raises(UserError, match=r"timm\.list_models.* and the face networks mobilefacenet, ") as refusal:
        check_model_name(name)
    said = str(refusal.value)
    assert len(said) < 400
    assert ("no model has a similar name." in said) == (name == "zzz")
    assert ("did you mean 'resnet18'" in said) == (name == "resnt18")


def test_unknown_weights_tag_suggests_the_closest_match() -> None:
    expected = r"'augreg_in1' is not a weights tag of 'vit_small_patch16_224'.*'augreg_in1k'"
    with pytest.raises(UserError, match=expected):
        check_model_name("vit_small_patch16_224.augreg_in1")
    expected = (
        r"'iresnet50' is valid without a tag, but 'ms1mv3' is not a weights tag of 'iresnet50': "
        r"timm has no weights for this model\."
    )
    with pytest.raises(UserError, match=expected):
        check_model_name("iresnet50.ms1mv3")
