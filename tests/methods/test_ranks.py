"""Two gloo ranks and one process with the joined batch must agree on every gradient and on a method's state."""

from __future__ import annotations

import pytest
import torch
from methods import ranks
from torch import Tensor
from two_ranks import beside_one

pytestmark = pytest.mark.slow  # two processes that import torch
Found = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, list[Found]]:
    return beside_one(ranks.__file__, tmp_path_factory.mktemp("ranks"), lambda: ranks.found_by(0, 1))


@pytest.mark.parametrize("name", ranks.methods(4))
def test_gradients_and_state_match_one_rank(found: tuple[Found, list[Found]], name: str) -> None:
    one, two = found
    assert not any(key.startswith("labels") for key in one[name]) or bool((one[name]["labels.changed"] >= 0).any())
    for rank in two:
        assert rank[name].keys() == one[name].keys()
        for key, expected in one[name].items():
            torch.testing.assert_close(
                rank[name][key], expected, rtol=1e-9, atol=1e-12, msg=lambda m, k=key: f"{k}: {m}"
            )
