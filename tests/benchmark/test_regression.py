"""Ratios are not far below the recorded ones (benchmarks/recorded.json) on any processor with AVX-512 BF16."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from mfer_lightning.benchmark.network import measure_inference, measure_training
from mfer_lightning.benchmark.workload import Work

RECORDED = Path(__file__).resolve().parents[2] / "benchmarks" / "recorded.json"

#: Fraction of a recorded ratio that must be reached: ratios vary with the processor and its load.
BAND = 0.55


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", ["train", "inference"])
def test_paper_network_is_not_much_slower_than_recorded(part):
    (recorded,) = json.loads(RECORDED.read_text(encoding="utf-8"))["parts"][part]
    bfloat16 = bool(torch.cpu._is_avx512_bf16_supported())
    if not bfloat16:
        pytest.skip("the ratios were recorded in bfloat16, and this processor lacks AVX-512 BF16")
    torch.set_flush_denormal(True)
    work = Work("convnext_base", {}, recorded["size"], recorded["batch"] // 2, bfloat16)
    measure = measure_training if part == "train" else measure_inference
    table = measure(work, 2, defaultdict(lambda: 1.0))  # fractions of the ceiling are ignored
    assert table["ratio_of_processor_time"] > BAND * recorded["ratio_of_processor_time"]


def test_recorded_values_are_complete():
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    for part in ("train", "inference"):
        (table,) = recorded["parts"][part]
        assert table["ratio"] > 1
        assert table["ratio_of_processor_time"] > 1
    assert recorded["environment"]["versions"]["torch"]
