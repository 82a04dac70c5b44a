"""The figures of one NVIDIA GPU that docs/performance.md leaves open: run this, then fill them in.

    python benchmarks/gpu.py results            # seven minutes or so on an H100; JSON files into results/
    python benchmarks/gpu.py results --quick    # without torch.compile: four minutes or so

It checks the convolutions' results on the GPU, runs ``mfer benchmark device=cuda``, and the training step once more
under ``torch.compile``. It compares with what is asked for on an H100: 250 TFLOP/s for forward pass and both gradients
of either dense convolution, and 1,300 faces/s for an eager training step of 256 faces.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: What is asked of an H100.
CONVOLUTION_GFLOPS, TRAINING_BATCH, TRAINING_FACES = 250_000, 256, 1_300
#: And of the compiled step: faces/s, and seconds of its first call at most.
COMPILED_FACES, FIRST_CALL = 2_000, 30


def commands(folder: Path, quick: bool) -> dict[str, list[str]]:
    """Return what is run, by what it is for."""
    mfer = [sys.executable, "-m", "mfer_lightning", "benchmark", "device=cuda"]
    tests = [sys.executable, "-m", "pytest", "-q", "-k", "on_a_gpu", str(ROOT / "tests" / "nn")]
    found = {"results on the GPU": tests, "benchmark": [*mfer, f"output={folder / 'benchmark.json'}"]}
    if not quick:
        compiled = ["parts=train", f"batch={TRAINING_BATCH}", "compile=true", "baselines=bfloat16"]
        found["compiled training step"] = [*mfer, *compiled, f"output={folder / 'compiled.json'}"]
    return found


def verdicts(result: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Compare figures with what is asked for.

    Args:
        result: what ``mfer benchmark device=cuda`` wrote.

    Returns:
        What, figure, and the least that is asked for.
    """
    found = [
        (f"dense convolution {row['map']}, GFLOP/s", row["gflops_per_second"], CONVOLUTION_GFLOPS)
        for row in result["parts"]["convolutions"]
        if row["computation"] == "forward and both gradients"
    ]
    found += [
        (f"training step of {table['batch']}, faces/s", table["faces_per_second"]["ours"], TRAINING_FACES)
        for table in result["parts"]["train"]
        if table["batch"] == TRAINING_BATCH
    ]
    return found


def main() -> int:
    """Run everything; exit code 1 where something failed or is slower than asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the JSON files")
    parser.add_argument("--quick", action="store_true", help="without torch.compile")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, command in commands(options.folder, options.quick).items():
        print(f"--- {name}: {' '.join(command[1:])}", flush=True)
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    written = options.folder / "compiled.json"
    if written.is_file():
        table = json.loads(written.read_text(encoding="utf-8"))["parts"]["train"][0]
        faces, first = table["faces_per_second"]["ours_compiled"], table["seconds_of_first_call"]["ours_compiled"]
        print(f"compiled training step: {faces:,.0f} faces/s, asked for {COMPILED_FACES:,}")
        print(f"its first call: {first:.0f} s, at most {FIRST_CALL} are asked for")
        failed += ["compiled training step"] * (faces < COMPILED_FACES) + ["first call"] * (first > FIRST_CALL)
    written = options.folder / "benchmark.json"
    if written.is_file():
        parts = json.loads(written.read_text(encoding="utf-8"))
        if {"convolutions", "train"} <= parts["parts"].keys():
            for what, figure, least in verdicts(parts):
                print(f"{what}: {figure:,.0f}, asked for {least:,}: {'reached' if figure >= least else 'NOT reached'}")
                if figure < least:
                    failed.append(what)
    print(f"Failed: {', '.join(failed)}." if failed else "All of it ran, and all figures are reached.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
