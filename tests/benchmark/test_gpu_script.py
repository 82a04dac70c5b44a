"""benchmarks/gpu.py: comparisons, missing results, the time limit, and a rehearsal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from script_module import load_script

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    return load_script("benchmarks/gpu.py")


def figures(compiled: float = 2_500.0, first: float = 20.0, accuracy: float = 0.8) -> dict[str, Any]:
    """Results of the lines, by file."""
    train = {"faces_per_second": {"ours": 1_400.0, "ours_compiled": compiled}}
    train["seconds_of_first_call"] = {"ours_compiled": first}
    both = "forward and both gradients"
    dense = [{"map": shape, "computation": both, "gflops_per_second": 3e5} for shape in ("512x14x14", "1024x7x7")]
    dense.append({"map": "512x14x14", "computation": "forward", "gflops_per_second": 1.0})
    runs = {name: {"metrics": {"accuracy": accuracy}, "n": 1000} for name in ("32-true", "bf16-mixed", "16-mixed")}
    return {
        "training.json": {"parts": {"train": [train]}},
        "inference.json": {"parts": {"inference": [{"faces_per_second": {"ours_compiled": 5_100.0}}]}},
        "end_to_end.json": {"parts": {"end_to_end": {"share_of_bare_step": 0.96}}},
        "loader.json": {"parts": {"loader": [{"faces_per_second": {"ours": n}} for n in (9.0, 3_100.0)]}},
        "convolutions.json": {"parts": {"convolutions": dense}},
        "runs/cpu-32-true/a/result.json": {"metrics": {"accuracy": 0.8}, "n": 1000},
        **{f"runs/{name}/a/result.json": result for name, result in runs.items()},
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    for name, value in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
    return folder


def missed(gpu: ModuleType, folder: Path) -> list[str]:
    return [verdict.what for verdict in gpu.verdicts(folder) if not verdict.reached]


def test_values_within_every_bound_pass(gpu: ModuleType, tmp_path: Path) -> None:
    assert missed(gpu, write(tmp_path, figures())) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"compiled": 1_999.0}, ["compiled training step, faces/s"]),
        ({"first": 30.5}, ["first call of the compiled step with an empty cache, s"]),
        ({"first": float("nan")}, ["first call of the compiled step with an empty cache, s"]),
    ],
)
def test_value_outside_a_bound_fails(
    changes: dict[str, float], what: list[str], gpu: ModuleType, tmp_path: Path
) -> None:
    assert missed(gpu, write(tmp_path, figures(**changes))) == what


def test_accuracy_beyond_the_noise_is_named_by_precision(gpu: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, figures(accuracy=0.84))  # three standard errors of the difference (n=1000, mean 0.82): 0.052
    assert missed(gpu, tmp_path) == []
    write(tmp_path, figures(accuracy=0.86))
    assert [what.split()[2] for what in missed(gpu, tmp_path)] == ["32-true", "bf16-mixed", "16-mixed"]


def test_missing_value_always_fails(gpu: ModuleType, tmp_path: Path) -> None:
    assert len(missed(gpu, tmp_path)) == len(gpu.verdicts(tmp_path)) == 11
    write(tmp_path, {**figures(), "inference.json": {"parts": {"inference": []}}})
    assert missed(gpu, tmp_path) == ["compiled inference, faces/s"]


@pytest.mark.slow
def test_commands_stop_at_the_time_limit_and_failed_ones_are_named(
    gpu: ModuleType, capfd: pytest.CaptureFixture
) -> None:
    chosen = [gpu.Line("a", ["-c", "print(1)"]), gpu.Line("b", ["-c", "raise SystemExit(3)"])]
    assert gpu.run([*chosen, gpu.Line("c", ["-c", "import time; time.sleep(60)"])], 4.0) == ["b", "c"]
    assert gpu.run(chosen, 0.0) == ["a", "b"]
    assert "NOT run" in capfd.readouterr().out


def test_rehearsal_runs_the_same_commands_on_the_cpu(gpu: ModuleType, tmp_path: Path) -> None:
    day, trial = gpu.lines(tmp_path, rehearse=False), gpu.lines(tmp_path, rehearse=True)
    names = [line.name for line in day]
    assert [line.name for line in trial] == [name for name in names if name != "16-mixed"]
    assert not any("cuda" in word or "=gpu" in word for line in trial for word in line.command)
    assert all(dict(line.environment).get("TORCHINDUCTOR_CACHE_DIR") for line in day if line.name == "training")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_rehearsal_produces_every_value(gpu: ModuleType, tmp_path: Path) -> None:
    own = ("tests", "convolutions")  # tested separately
    wanted = [f"--only={line.name}" for line in gpu.lines(tmp_path, rehearse=True) if line.name not in own]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "--rehearse", *wanted], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    without = [line for line in done.stdout.splitlines() if line.endswith(": no result")]
    assert all(line.startswith("dense convolution") for line in without), without
    assert json.loads((tmp_path / "profile.json").read_text(encoding="utf-8"))["rows"]
