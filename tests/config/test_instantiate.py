"""Only allowed targets can be built, and every error names the option."""

from __future__ import annotations

import pytest

from mfer_lightning.config.instantiate import instantiate, locate
from mfer_lightning.errors import UserError
from mfer_lightning.losses import CrossEntropy, DSFLoss


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "mfer_lightning.losses.objective.torch",
        "mfer_lightning.losses._private",
        "mfer_lightning.config.instantiate.importlib",
        "mfer_lightning.nn.nope",
        "DSFLoss",
        "",
    ],
)
def test_target_outside_the_allowlist_is_rejected(target: str) -> None:
    with pytest.raises(UserError, match="names"):
        locate(target)


def test_runtime_values_are_passed_if_the_signature_has_them() -> None:
    loss = instantiate(
        {"_target_": "mfer_lightning.losses.DSFLoss", "temperature": 0.5}, num_classes=3, feature_dim=8, unknown=1
    )
    assert isinstance(loss, DSFLoss)
    assert loss.centers.shape == (3, 8)
    assert isinstance(instantiate({"_target_": "mfer_lightning.losses.CrossEntropy"}, num_classes=3), CrossEntropy)


def test_unknown_option_suggests_the_closest_match() -> None:
    node = {"_target_": "mfer_lightning.losses.DSFLoss", "temperatur": 0.5}
    with pytest.raises(UserError, match=r"loss\.feature has no option `temperatur`: did you mean 'temperature'"):
        instantiate(node, where="loss.feature", num_classes=3, feature_dim=8)


def test_missing_and_invalid_values_name_the_option() -> None:
    with pytest.raises(UserError, match=r"loss\.feature lacks a value for `feature_dim`"):
        instantiate({"_target_": "mfer_lightning.losses.DSFLoss"}, where="loss.feature", num_classes=3)
    with pytest.raises(UserError, match=r"loss\.feature\.temperature=-1\.0: .*`temperature` to be more than 0"):
        instantiate(
            {"_target_": "mfer_lightning.losses.DSFLoss", "temperature": -1.0},
            where="loss.feature",
            num_classes=3,
            feature_dim=8,
        )


def test_node_without_target_is_rejected() -> None:
    with pytest.raises(UserError, match="_target_"):
        instantiate({"temperature": 1.0})
