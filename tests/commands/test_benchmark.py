"""mfer benchmark with a tiny network, and its docs page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from commands.conftest import Mfer
from script_module import load_script

from mfer_lightning.benchmark.timing import Sample, interleaved, speedup

TINY = (
    "options={depths:[1,1,1,1],dims:[8,16,24,32]}",
    "size=32",
    "batch=2",
    "repeats=1",
    "faces=256",
    "steps=2",
    "threads=1",
    "device=cpu",
    "gemm=128",
)
ROOT = Path(__file__).resolve().parents[2]


def script(name: str):
    """A script of benchmarks/, as a module."""
    return load_script(f"benchmarks/{name}.py")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from mfer_lightning.benchmark import ceiling, training

    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the command sets it for its child processes; restored afterwards
    monkeypatch.setattr(ceiling, "MEGABYTES", 1)
    monkeypatch.setattr(training, "BATCH", 4)


@pytest.mark.slow
def test_prints_tables_and_writes_json(
    mfer: Mfer, quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = "parts=[overhead,train,end_to_end,inference]"
    assert mfer("benchmark", *TINY, parts, "workers=0", "output=out.json") == 0
    said = capsys.readouterr().out
    result = json.loads((tmp_path / "out.json").read_text())
    order = ["train", "inference", "end_to_end", "overhead"]  # fixed, regardless of the order in `parts`
    assert list(result["parts"]) == order
    assert result["ceiling"].keys() == {
        *("gemm_float32", "gemm_float32_core", "gemm_bfloat16", "gemm_bfloat16_core", "copy")
    }
    for part in result["parts"]:
        assert part in said
    assert result["parts"]["overhead"]["milliseconds"]["framework"] > 0
    assert result["parts"]["end_to_end"]["share_of_bare_step"] > 0
    assert result["parts"]["end_to_end"]["steps"] == 2
    tables = script("performance").tables(result)
    assert {"environment", "network", "end_to_end", "overhead"} <= tables.keys()


def test_page_has_one_placeholder_per_table_and_keeps_its_prose() -> None:
    fill = script("performance").fill
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    names = ("environment", "network", "small", "loader", "overhead", "startup", "memory", "ranks")
    names += ("convolutions", "end_to_end")
    filled = fill(page, dict.fromkeys(names, "| here | it stands |"))
    assert filled.count("| here | it stands |") == len(names)
    assert fill(filled, dict.fromkeys(names, "x")) == fill(page, dict.fromkeys(names, "x"))
    with pytest.raises(ValueError, match=r"'nowhere' in docs/performance\.md, but got 0"):
        fill(page, {"nowhere": ""})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["parts=[trian]"], "there is no such part: did you mean 'train'"),
        (["parts=[]"], "name at least one of train"),
        (["repeats=0"], "repeats=0: the value must be at least 1"),
        (["threads=-1"], "threads=-1: the value must be at least 1"),
        (["batch=some"], "batch=some"),
        (["batch=[8,0]"], "batch=[8, 0]: choose auto, an integer of at least 1, or a list"),
        (["batch=[]"], "name at least one number of faces per step"),
        (["device=gpu"], "device=gpu: choose auto, cpu or cuda"),
        (["device=cpu", "baselines=tf32"], "TF32 exists only on NVIDIA GPUs"),
        (["baselines=[float16]"], "there is no such precision: did you mean"),
    ],
)
def test_invalid_options_raise_one_clear_error(
    arguments: list[str], message: str, mfer: Mfer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mfer("benchmark", *arguments) == 2
    assert message.lower() in capsys.readouterr().err.lower()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_raises_one_clear_error(mfer: Mfer, capsys: pytest.CaptureFixture[str]) -> None:
    assert mfer("benchmark", "device=cuda") == 2
    said = capsys.readouterr().err
    assert "device=cuda: PyTorch finds no NVIDIA GPU here." in said
    assert "Traceback" not in said


def test_timings_are_interleaved_and_compared_pairwise() -> None:
    order: list[str] = []
    samples = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert {name: len(found) for name, found in samples.items()} == {"a": 2, "b": 2}
    baseline = [Sample(2, 2), Sample(20, 2), Sample(4, 2)]  # the machine is busy during the second pair
    assert speedup(baseline, [Sample(1, 1), Sample(10, 1), Sample(2, 1)]) == Sample(2, 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_startup_and_memory_are_measured_in_subprocesses(mfer: Mfer, quick: None, tmp_path: Path) -> None:
    parts = "parts=[small,loader,startup,memory,ranks]"
    assert mfer("benchmark", *TINY, parts, "threads=2", "workers=1", "output=out.json") == 0
    found = json.loads((tmp_path / "out.json").read_text())["parts"]
    assert found["startup"]["help_seconds"] < found["startup"]["first_step_seconds"]
    assert found["memory"]["plain"]["peak_gb"] > 0.1
    assert [row["batch"] for row in found["ranks"]] == [64, 256]
    assert all(row["ratio"] > 0 for row in found["ranks"])
    assert found["small"]["ratio"] > 0
    assert [row["workers"] for row in found["loader"]] == [0, 1]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("precision=nope", ("precision=nope", "32-true")),
        ("precision=16-mixed", ("precision=16-mixed", "bf16-mixed")),
        ("backbone=resnet18", ("backbone=resnet18", "ConvNeXt")),
    ],
)
def test_unmeasurable_combinations_are_rejected_before_any_measurement(
    argument: str, words: tuple[str, ...], mfer: Mfer, capsys: pytest.CaptureFixture
) -> None:
    assert mfer("benchmark", *TINY, argument) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said


def test_backbone_option_is_applied(mfer: Mfer, tmp_path: Path) -> None:
    assert mfer("benchmark", *TINY, "parts=inference", "backbone=convnext_atto", "output=x/measured.json") == 0
    assert "inference" in json.loads((tmp_path / "x" / "measured.json").read_text())["parts"]
