"""The parts of the benchmark at tiny sizes on the CPU; the same code measures a GPU."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mfer_lightning.benchmark import ceiling, convolutions
from mfer_lightning.benchmark.device import CPU
from mfer_lightning.benchmark.network import compare, measure_training
from mfer_lightning.benchmark.report import show
from mfer_lightning.benchmark.timing import Sample
from mfer_lightning.benchmark.workload import Work
from mfer_lightning.errors import UserError

WORK = Work("convnext_tiny", {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}, 32, 2, True)
CEILING = {f"gemm_{kind}{core}": 100.0 for kind in ("float32", "bfloat16") for core in ("", "_core")}


def test_every_baseline_is_measured_at_the_same_batch_against_its_own_ceiling():
    work = dataclasses.replace(WORK, baselines=("float32", "bfloat16"))
    table = measure_training(work, 1, {**CEILING, "gemm_float32": 50.0})
    assert table["batch"] == 2
    assert list(table["seconds"]) == ["naive", "naive_bfloat16", "ours"]
    assert list(table["ratios"]) == ["naive", "naive_bfloat16"]
    assert table["ratio"] == table["ratios"]["naive"]
    assert list(table["share_of_gemm_ceiling"]) == list(table["seconds"])


@pytest.mark.slow  # a C++ compiler is called
@pytest.mark.timeout(900)
def test_compiled_network_is_measured_next_to_the_eager_one():
    table = measure_training(dataclasses.replace(WORK, compile=True), 1, CEILING)
    assert list(table["seconds"]) == ["naive", "ours", "ours_compiled"]
    assert table["seconds_of_first_call"]["ours_compiled"] > table["seconds"]["ours_compiled"]  # the compiler ran


def test_out_of_memory_cases_are_named_and_the_rest_is_measured():
    def full():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    work = dataclasses.replace(WORK, baselines=("float32", "bfloat16"))
    works = {"naive": full, "naive_bfloat16": lambda: None, "ours": lambda: None}
    table = compare(works, 1, 1.0, work, CEILING)
    assert table["out_of_memory"] == ["naive"]
    assert list(table["seconds"]) == ["naive_bfloat16", "ours"]
    assert "ratio" in table
    with pytest.raises(UserError, match=r"batch=2: a step does not fit into the device's memory"):
        compare({"ours": full}, 1, 1.0, work, CEILING)


@pytest.mark.parametrize("bfloat16", [True, False])
def test_every_convolution_implementation_has_a_row_and_a_total(monkeypatch, bfloat16, capsys):
    monkeypatch.setattr(convolutions, "KERNEL", 3)
    monkeypatch.setattr(convolutions, "DENSE", ((64, 7), (256, 3)))
    monkeypatch.setattr(convolutions, "DEPTHWISE", ((64, 7),))
    rows = convolutions.measure_convolutions(CPU, 1, bfloat16, 1, CEILING)
    ways = [(row["computation"], row["way"]) for row in rows if row["map"] == "64x7x7"]
    assert ways == [
        *(("forward", way) for way in ("library", "unfold", "taps")),
        *(("input gradient", way) for way in ("library", "turned", "unfold", "taps")),
        *(("weight gradient", way) for way in ("library", "unfold", "taps")),
        ("forward and both gradients", "library/library/library"),
        *(("depthwise weight gradient", way) for way in ("library", "products")),
    ]
    totals = [row for row in rows if row["computation"] == "forward and both gradients"]
    assert [row["way"] for row in totals] == ["library/library/library", "taps/taps/taps"]
    taken = [r["milliseconds"] for r in rows[:10] if r["taken"]]
    assert totals[0]["milliseconds"] == pytest.approx(sum(taken), abs=1e-3)
    assert all(row["gflops_per_second"] > 0 for row in totals)
    show("convolutions", rows)
    said = capsys.readouterr().out
    assert "GFLOP/s" in said
    assert "taps" in said


def test_ceiling_uses_the_requested_matrix_size(monkeypatch):
    monkeypatch.setattr(ceiling, "MEGABYTES", 1)
    shapes = []
    monkeypatch.setattr(ceiling, "gemm_rates", lambda dtype, given, _: shapes.append(given) or Sample(1.0, 1.0))
    rates = ceiling.measure(CPU, 64)
    assert set(shapes) == {((64, 64, 64),)}
    assert rates.keys() == {"copy", *CEILING}
    shapes.clear()
    ceiling.measure(CPU)
    assert set(shapes) == {ceiling.SHAPES}
