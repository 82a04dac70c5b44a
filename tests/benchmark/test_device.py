"""Differences between CPU and GPU, precisions of the baseline, and their options and errors."""

from __future__ import annotations

import pytest
import torch

from mfer_lightning.benchmark.device import CPU, GPU, find_device
from mfer_lightning.benchmark.options import PARTS, chosen_baselines, chosen_parts, left_out
from mfer_lightning.errors import UserError


@pytest.mark.parametrize("available", [True, False])
def test_auto_selects_an_available_gpu(monkeypatch, available):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert find_device("auto") == (GPU if available else CPU)
    assert find_device("cpu") == CPU
    if available:
        assert find_device("cuda") == GPU
    else:
        with pytest.raises(UserError, match="finds no NVIDIA GPU"):
            find_device("cuda")
    with pytest.raises(UserError, match="choose auto, cpu or cuda"):
        find_device("gpu")


def test_gpu_is_synchronised_and_reports_peak_memory(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("wait"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("free"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 7)
    for device in (GPU, CPU):
        device.synchronise()
        device.free()
    assert calls == ["wait", "free"]
    assert GPU.peak_bytes() == 7
    assert CPU.peak_bytes() > 10**7


@pytest.mark.parametrize(
    ("name", "matmul", "convolutions"),
    [("float32", "highest", False), ("tf32", "high", True), ("bfloat16", None, None)],
)
def test_precision_settings_apply_only_within_the_block(name, matmul, convolutions):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with CPU.computing_in(name):
        assert torch.get_float32_matmul_precision() == (matmul or before[0])
        assert torch.backends.cudnn.allow_tf32 == (before[1] if convolutions is None else convolutions)
        assert torch.is_autocast_enabled("cpu") == (name == "bfloat16")
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_baselines_depend_on_the_device_unless_given():
    assert chosen_baselines("auto", CPU) == ("float32",)
    assert chosen_baselines("auto", GPU) == ("float32", "tf32", "bfloat16")
    assert chosen_baselines(["bfloat16", "float32"], CPU) == ("float32", "bfloat16")
    assert chosen_baselines("tf32", GPU) == ("tf32",)


def test_parts_run_in_order_and_cpu_parts_are_skipped_on_a_gpu():
    assert chosen_parts("all", CPU) == list(PARTS)
    on_gpu = chosen_parts("all", GPU)
    assert on_gpu == ["train", "inference", "convolutions", "end_to_end", "loader", "memory"]
    assert left_out(on_gpu) == ["small", "overhead", "startup", "ranks"]
    assert chosen_parts("loader", GPU) == ["loader"]
    with pytest.raises(UserError, match=r"parts=startup is measured on the CPU only: add device=cpu"):
        chosen_parts(["train", "startup"], GPU)
