"""Two gloo ranks and one process with the joined batch must agree on every gradient."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from two_ranks import beside_one

pytest.importorskip("pytorch_metric_learning")
pytestmark = pytest.mark.slow  # two processes that import torch
SCRIPT = Path(__file__).with_name("ranks.py")


def load_script():
    spec = importlib.util.spec_from_file_location("loss_ranks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RANKS = load_script()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return beside_one(SCRIPT, tmp_path_factory.mktemp("ranks"), lambda: RANKS.gradients(0, 1))


@pytest.mark.parametrize("name", [n for n in RANKS.objectives() if n != "supcon_local"])
def test_gradients_of_network_heads_and_centres_match_one_rank(found, name):
    one, two = found
    for rank in two:
        for parameter, expected in one[name].items():
            torch.testing.assert_close(
                rank["gradients"][name][parameter],
                expected,
                rtol=1e-5,
                atol=1e-6,
                msg=lambda m, p=parameter: f"{p}: {m}",
            )
    assert {"center", "lgm", "dsf"} & {name} == set() or "objective.feature.centers" in one[name]


def test_pair_loss_without_gathering_differs(found):
    """Without gathering, pairs across ranks are missed and the gradients differ, so the test above can fail."""
    one, two = found
    name = "supcon_local"
    differences = [(two[0]["gradients"][name][p] - g).abs().max() for p, g in one[name].items()]
    assert max(differences) > 1e-3


def test_centres_are_initialised_from_the_data_of_all_ranks(found):
    one, two = found
    for rank in two:
        torch.testing.assert_close(rank["gradients"]["init_centers"], one["init_centers"])


def test_gathering_joins_unequal_batches_and_sums_their_gradients(found):
    _, two = found
    for rank, rows in ((0, slice(0, 1)), (1, slice(1, 4))):
        joined, gradient = two[rank]["gather"]
        expected = torch.arange(4.0).reshape(4, 1) + 1
        torch.testing.assert_close(joined, expected)
        torch.testing.assert_close(gradient, 2 * expected[rows] * 3)  # weights 1 + 2 of the two ranks' losses
