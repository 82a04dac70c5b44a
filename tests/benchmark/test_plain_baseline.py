"""The baseline is the same network, with equal outputs and gradients, so the comparison of times is fair."""

from __future__ import annotations

import pytest
import torch

from mfer_lightning.benchmark.network import measure_inference, measure_training
from mfer_lightning.benchmark.plain_baseline import NaiveResNet, naive_step
from mfer_lightning.benchmark.workload import Work, build, faces, our_step
from mfer_lightning.nn import MFER
from mfer_lightning.nn.cost import count_parameters

WORK = Work("convnext_tiny", {"depths": [1, 1, 2, 1], "dims": [16, 32, 64, 128]}, 64, 2, False)
CEILING = {"gemm_float32": 200.0, "gemm_float32_core": 100.0, "gemm_bfloat16": 400.0, "gemm_bfloat16_core": 200.0}


def test_naive_and_own_network_have_equal_outputs_and_gradients():
    naive, ours = build(WORK)
    naive.eval(), ours.eval()
    pixels = torch.randn(2, 3, 64, 64)
    output = ours(pixels)
    for mine, theirs in zip(output["head_logits"], naive(pixels), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)
    sum(logits.square().sum() for logits in output["head_logits"]).backward()
    sum(logits.square().sum() for logits in naive(pixels)).backward()
    mine = torch.cat([p.grad.flatten().abs().sort().values for p in ours.parameters()]).sum()
    theirs = torch.cat([p.grad.flatten().abs().sort().values for p in naive.parameters()]).sum()
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=0)


def test_paper_network_has_the_published_size():
    with torch.device("meta"):
        naive, ours = build(Work("convnext_base", {}, 224, 1, False, device="meta"))
    assert count_parameters(naive) == count_parameters(ours) == 153_438_016 + 1_918_997


def test_small_baseline_matches_the_experiment_network():
    from mfer_lightning.benchmark.small_model import NETWORK

    ours = MFER(NETWORK, 8, attention="none")
    assert count_parameters(NaiveResNet(8, NETWORK["options"])) == count_parameters(ours)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_training_step_changes_the_weights_and_stays_finite(bfloat16):
    work = Work(WORK.backbone, WORK.options, 64, 2, bfloat16)
    naive, ours = build(work)
    before = [p.detach().clone() for p in ours.parameters()]
    image, label = faces(work)
    our_step(ours, work)(image.float() / 255, torch.nn.functional.one_hot(label, 7).float())
    assert all(p.isfinite().all() for p in ours.parameters())
    assert sum(not torch.equal(p, q) for p, q in zip(ours.parameters(), before, strict=True)) > 0.9 * len(before)
    naive_step(naive.train(), torch.optim.AdamW(naive.parameters()), image.float() / 255, label)


def test_measured_values_are_consistent():
    training, table = measure_training(WORK, 2, CEILING), measure_inference(WORK, 2, CEILING)
    assert training["gflop"] == pytest.approx(3 * table["gflop"], abs=0.15)
    for found in (training, table):
        assert found["ratio"] > 0
        for name, seconds in found["seconds"].items():
            assert found["faces_per_second"][name] == pytest.approx(WORK.batch / seconds, rel=0.05)
    assert table["relative_difference_of_logits"]["float32"] < 1e-4


def test_bfloat16_prediction_agrees_within_rounding():
    table = measure_inference(Work(WORK.backbone, WORK.options, 64, 2, True), 1, CEILING)
    assert table["relative_difference_of_logits"]["float32"] < 1e-4
    assert 0 < table["relative_difference_of_logits"]["bfloat16"] < 0.03
