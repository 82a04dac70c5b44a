"""Measure the GPU performance that docs/performance.md does not list yet, on one NVIDIA GPU in at most eight minutes.

    python benchmarks/gpu.py results              # on an H100 or H200; JSON files in results/, verdicts at the end
    python benchmarks/gpu.py results --only=inference --only=training
    python benchmarks/gpu.py trial --rehearse     # everything on the CPU with tiny sizes, to find errors beforehand

Each line is a separate command with the remaining time as its limit. A line that exceeds it, or that does not start
before the end, is reported as failed. The targets are for MFER-Base at 224 px, batch 256, bfloat16, with the plain
baseline in bfloat16 in the same run. A rehearsal compares nothing and compiles nothing (``TORCHDYNAMO_DISABLE``).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: Total time limit in seconds.
BUDGET = 480.0
#: Precisions of the small training runs on a GPU, and in a rehearsal.
PRECISIONS, REHEARSED = ("32-true", "bf16-mixed", "16-mixed"), ("32-true", "bf16-mixed")
#: The training run whose accuracy is the reference.
REFERENCE = "cpu-32-true"

BENCHMARK = ("batch=256", "precision=bf16-mixed", "baselines=bfloat16", "stored=224", "workers=14", "faces=8192")
TINY = ("options={depths:[1,1,1,1],dims:[8,16,24,32]}", "size=32", "batch=2", "stored=32", "workers=1", "faces=64")
TINY = (*TINY, "repeats=1", "steps=2", "threads=1", "gemm=128", "precision=bf16-mixed", "baselines=bfloat16")

SMALL = ("dataset=facs", "trainer.max_epochs=6", "trainer.compile=false", "evaluation.embedding_points=0", "logger=csv")
TINY_RUN = ("dataset.train_size=32", "dataset.val_size=16", "dataset.test_size=16", "dataset.size=32")
TINY_RUN = (*TINY_RUN, "preprocess.size=32", "loader.batch_size=16", "loader.num_workers=0", "trainer.max_epochs=1")
TINY_RUN = (*TINY_RUN, "backbone.options={depths:[1,1,1,1],dims:[8,16,24,32]}", "attention.kernel_size=3")


@dataclass(frozen=True)
class Line:
    """One command.

    Args:
        name: name of the line; its JSON file, if any, is ``<name>.json``.
        command: arguments of Python.
        environment: additional environment variables.
    """

    name: str
    command: Sequence[str]
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A measurement and its target.

    Args:
        what: description of the measurement.
        figure: the result; None if it is missing.
        bound: the target.
        most: whether the target is a maximum rather than a minimum.
    """

    what: str
    figure: float | None
    bound: float
    most: bool = False

    @property
    def reached(self) -> bool:
        """Whether there is a result and it meets the target."""
        if self.figure is None or not math.isfinite(self.figure):
            return False
        return self.figure <= self.bound if self.most else self.figure >= self.bound

    def __str__(self) -> str:
        found = "no result" if self.figure is None else f"{self.figure:,.4g}"
        asked = f"at {'most' if self.most else 'least'} {self.bound:,.4g}"
        return f"{self.what}: {found}, target {asked}: {'reached' if self.reached else 'NOT reached'}"


def lines(folder: Path, rehearse: bool) -> list[Line]:
    """Return the lines to run, the most important first."""
    options, device = (TINY, "cpu") if rehearse else (BENCHMARK, "cuda")
    empty = (("TORCHINDUCTOR_CACHE_DIR", str(folder / f"compiled-{os.getpid()}")),)
    still = (("TORCHDYNAMO_DISABLE", "1"),) if rehearse else ()

    def benchmark(name: str, parts: str, *more: str, extra: tuple[tuple[str, str], ...] = ()) -> Line:
        given = ["-m", "mfer_lightning", "benchmark", f"device={device}", *options, f"parts={parts}", *more]
        return Line(name, [*given, f"output={folder / f'{name}.json'}"], (*extra, *still))

    def training(name: str, accelerator: str, precision: str) -> Line:
        given = ["-m", "mfer_lightning", *SMALL, *(TINY_RUN if rehearse else ()), f"trainer.accelerator={accelerator}"]
        return Line(name, [*given, f"trainer.precision={precision}", f"paths.runs={folder / 'runs'}", f"name={name}"])

    accelerator = "cpu" if rehearse else "gpu"
    chosen = "own_trainer or arithmetic" if rehearse else "on_a_gpu or cuda"
    places = ["tests/own_trainer/test_one_device.py", "tests/inference/test_arithmetic.py"]
    places += [] if rehearse else ["tests/nn", "tests/inference/test_compilation.py"]
    tests = ["-m", "pytest", "-q", "-m", "slow or not slow", "-k", chosen, *(str(ROOT / place) for place in places)]
    profile = [
        str(ROOT / "benchmarks" / "step_profile.py"),
        "--device",
        device,
        "--output",
        str(folder / "profile.json"),
    ]
    return [
        benchmark("training", "train", "compile=true", "repeats=3" if not rehearse else "repeats=1", extra=empty),
        benchmark("inference", "inference", "compile=true", extra=empty),
        benchmark("end_to_end", "end_to_end"),
        benchmark("loader", "loader", "repeats=1"),
        Line("tests", tests),
        Line("profile", [*profile, *(["--tiny"] if rehearse else [])]),
        training(REFERENCE, "cpu", "32-true"),
        *(training(name, accelerator, name) for name in (REHEARSED if rehearse else PRECISIONS)),
        benchmark("convolutions", "convolutions"),
    ]


def verdicts(folder: Path, precisions: Sequence[str] = PRECISIONS) -> list[Verdict]:
    """Compare the results in a folder with the targets; a missing result does not meet its target."""

    def figure(name: str, read: Callable[[Any], float]) -> float | None:
        try:
            return float(read(json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["parts"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    found = [
        Verdict(
            "compiled training step, faces/s",
            figure("training", lambda parts: parts["train"][0]["faces_per_second"]["ours_compiled"]),
            2_000,
        ),
        Verdict(
            "eager training step, faces/s",
            figure("training", lambda parts: parts["train"][0]["faces_per_second"]["ours"]),
            1_300,
        ),
        Verdict(
            "first call of the compiled step with an empty cache, s",
            figure("training", lambda parts: parts["train"][0]["seconds_of_first_call"]["ours_compiled"]),
            30,
            most=True,
        ),
        Verdict(
            "compiled inference, faces/s",
            figure("inference", lambda parts: parts["inference"][0]["faces_per_second"]["ours_compiled"]),
            5_000,
        ),
        Verdict(
            "mfer train as a share of the bare step",
            figure("end_to_end", lambda parts: parts["end_to_end"]["share_of_bare_step"]),
            0.95,
        ),
        Verdict(
            "loader alone, faces/s",
            figure("loader", lambda parts: parts["loader"][-1]["faces_per_second"]["ours"]),
            3_000,
        ),
    ]
    for shape in ("512x14x14", "1024x7x7"):
        what = f"dense convolution {shape}, forward and both gradients, GFLOP/s"
        found.append(Verdict(what, figure("convolutions", partial(_rate_of, shape)), 250_000))
    return found + [accuracy_verdict(folder / "runs", name) for name in precisions]


def _rate_of(shape: str, parts: Any) -> float:
    rows = [row for row in parts["convolutions"] if row["computation"] == "forward and both gradients"]
    return [float(row["gflops_per_second"]) for row in rows if row["map"] == shape][0]  # noqa: RUF015, an IndexError


def accuracy_verdict(runs: Path, name: str) -> Verdict:
    """Compare the test accuracy of a training run with the reference's.

    The target is three standard errors of the difference of two proportions of n faces each. This is generous, because
    both are measured on the same faces.
    """
    what = f"accuracy under {name} compared with {REFERENCE}, absolute difference"
    try:
        (first, n), (second, _) = _accuracy(runs / REFERENCE), _accuracy(runs / name)
    except (OSError, ValueError, LookupError, StopIteration):
        return Verdict(what, None, 0.0, most=True)
    mean = (first + second) / 2
    return Verdict(what, abs(first - second), 3 * math.sqrt(2 * mean * (1 - mean) / n), most=True)


def _accuracy(folder: Path) -> tuple[float, int]:
    result = json.loads(next(folder.rglob("result.json")).read_text(encoding="utf-8"))
    return float(result["metrics"]["accuracy"]), int(result["n"])


def run(chosen: Sequence[Line], budget: float) -> list[str]:
    """Run lines in order within a time limit; return the names of those that failed."""
    failed, end = [], time.monotonic() + budget
    for line in chosen:
        left = end - time.monotonic()
        if left <= 0:
            print(f"--- {line.name}: NOT run, the time limit of {budget:.0f} s has passed", flush=True)
            failed.append(line.name)
            continue
        print(f"--- {line.name}, {left:.0f} s left: {' '.join(line.command)}", flush=True)
        path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, **dict(line.environment)}
        try:
            code = subprocess.run(
                [sys.executable, *line.command], env=environment, check=False, timeout=left
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
            print(f"--- {line.name}: stopped, the time limit of {budget:.0f} s has passed", flush=True)
        if code:
            failed.append(line.name)
    return failed


def main() -> int:
    """Run everything; return exit code 1 if a line failed or a target is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for the JSON files")
    parser.add_argument(
        "--rehearse", action="store_true", help="tiny sizes on the CPU; results are not compared with targets"
    )
    parser.add_argument("--only", action="append", help="name of a line; may be repeated")
    parser.add_argument(
        "--budget", type=float, help="total time limit in seconds; default 480, unlimited in a rehearsal"
    )
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    known = lines(folder, options.rehearse)
    names = [line.name for line in known]
    for name in options.only or ():
        if name not in names:
            parser.error(f"--only={name}: there is no such line; choose from {', '.join(names)}")
    chosen = [line for line in known if not options.only or line.name in options.only]
    failed = run(chosen, options.budget or (86_400.0 if options.rehearse else BUDGET))
    for verdict in verdicts(folder, REHEARSED if options.rehearse else PRECISIONS):
        if options.rehearse:
            print(f"{verdict.what}: {'no result' if verdict.figure is None else 'measured'}")
            failed += [verdict.what] * (verdict.figure is None and not options.only)
        else:
            print(verdict)
            failed += [verdict.what] * (not verdict.reached)
    print(f"Failed: {', '.join(failed)}." if failed else "All selected lines succeeded.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
