"""The valence and arousal head: off by default, within [-1, 1], and compatible with older files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER, load_weights
from mfer_lightning.optim.groups import parameter_groups

TINY = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}


def build(**options):
    torch.manual_seed(0)
    return MFER(TINY, 7, **options)


def test_head_is_off_by_default_and_then_has_no_effect():
    network = build()
    assert "valence_arousal" not in network.config
    assert "valence_arousal" not in network.outputs
    assert not [name for name in network.state_dict() if "valence" in name]
    with_head = build(valence_arousal=True)
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(with_head.state_dict()[name], weight, rtol=0, atol=0)


def test_head_predicts_two_values_within_the_label_range():
    network = build(valence_arousal=True).eval()
    output = network(torch.randn(3, 3, 64, 64))
    head = network.valence_arousal.fc
    expected = torch.tanh(output["feature"] @ head.weight.T + head.bias)
    torch.testing.assert_close(output["valence_arousal"], expected)
    with torch.no_grad():
        head.weight.mul_(1e4)
    assert network(torch.randn(3, 3, 64, 64))["valence_arousal"].abs().max() <= 1


def test_head_returns_float32_under_autocast():
    network = build(valence_arousal=True).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(torch.randn(2, 3, 64, 64))["valence_arousal"].dtype == torch.float32


def test_network_is_rebuilt_from_its_description():
    network = build(valence_arousal=True)
    MFER(**network.config).load_state_dict(network.state_dict())
    with pytest.raises(UserError, match=r"`valence_arousal` must be true or false, not 'yes'"):
        build(valence_arousal="yes")


def test_head_uses_the_learning_rate_of_the_heads():
    network = build(valence_arousal=True)
    rates = {
        id(p): g["lr"] for g in parameter_groups(network, lr=0.1, weight_decay=0, head_lr_scale=10) for p in g["params"]
    }
    assert {rates[id(p)] for p in network.valence_arousal.parameters()} == {1.0}


@pytest.mark.parametrize("prefix", ["", "network."])
def test_weights_with_and_without_the_head_load_into_both_kinds_of_network(tmp_path: Path, prefix: str):
    plain, both = build(), build(valence_arousal=True)
    with torch.no_grad():
        for network in (plain, both):
            for parameter in network.parameters():
                parameter.add_(1)
    files = {}
    for name, network in (("plain", plain), ("both", both)):
        files[name] = tmp_path / f"{name}.pth"
        torch.save({f"{prefix}{key}": value for key, value in network.state_dict().items()}, files[name])
    fresh = build(valence_arousal=True)
    report = load_weights(fresh, files["plain"])
    assert report.new_parts == ("valence and arousal",)
    torch.testing.assert_close(fresh.head.state_dict(), plain.head.state_dict())
    assert load_weights(build(), files["both"]).new_parts == ()
    again = build(valence_arousal=True)
    # The valence and arousal head does not depend on the classes, so it is loaded even with `head="new"`.
    assert load_weights(again, files["both"], head="new").new_parts == ("head",)
    torch.testing.assert_close(again.valence_arousal.state_dict(), both.valence_arousal.state_dict())
