"""Two gloo ranks that share a device, the CPU or one GPU, give the same training and predictions as one rank."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import torch
from own_trainer import one_device
from two_ranks import beside_one

pytestmark = pytest.mark.slow  # two processes that import torch
CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))
Found = tuple[dict[str, Any], list[dict[str, Any]]]


@pytest.fixture(scope="module", params=["cpu", CUDA])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (folder / "port").write_text(str(free.getsockname()[1]), encoding="utf-8")
    device: str = request.param
    alone = lambda: one_device.found_by(1, device, folder / "cache")  # noqa: E731
    one, two = beside_one(one_device.__file__, folder, alone, device)
    assert [rank["ranks"] for rank in two] == [2, 2]
    assert {rank["device"].partition(":")[0] for rank in (one, *two)} == {device}
    return one, two


def test_gradients_of_two_ranks_match_one_with_the_combined_batch(found: Found) -> None:
    one, two = found
    assert any(name.startswith("network.") for name in one["gradients"])
    assert "objective.feature.centers" in one["gradients"]
    for rank in two:
        assert rank["gradients"].keys() == one["gradients"].keys()
        for name, expected in one["gradients"].items():
            torch.testing.assert_close(
                rank["gradients"][name], expected, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


def test_each_face_is_predicted_once(found: Found) -> None:
    one, two = found
    assert len(one["expected"]) == 13
    for rank in (one, *two):
        assert rank["index"].tolist() == sorted(one["expected"].tolist())
        torch.testing.assert_close(rank["logits"], one["logits"], rtol=1e-3, atol=1e-3)
