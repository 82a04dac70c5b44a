"""SIGTERM before the first step is complete, or during the final evaluation: one line, exit code 143, no traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands.conftest import FEW
from commands.test_kills import kill_group, left_in

#: Output before the signal: ours, and torch's when it looks for CUDA.
NOISE = re.compile(r"image cache|^W\d{4} .*CUDA")

#: Place of the signal -> code that makes the process wait there and report it.
STUBS = {
    "data": """
import mfer_lightning.data.datasets.base as base
def setup(self, stage=None): here()
base.FaceDataModule.setup = setup
""",
    "first step": """
import mfer_lightning.module.fer_module as module
def step(self, *_): here()
module.FERModule.training_step = step
""",
    "workers": """
import signal
import mfer_lightning.data.datasets.base as base
def start(worker):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    here()
base.start_worker = start
""",
    "compilation": """
import torch._inductor.codecache as codecache
import mfer_lightning.callbacks.compilation as compilation
compilation.try_compiler = lambda *_: None
real = codecache.CppCodeCache.load_async.__func__
def load(cls, *arguments, **options):
    here(0)
    return real(cls, *arguments, **options)
codecache.CppCodeCache.load_async = classmethod(load)
""",
    "evaluation": """
import mfer_lightning.training.finalize as finalize
def tabulate(*_): here()
finalize.tabulate = tabulate
""",
}

PROGRAM = """
import sys, time
from pathlib import Path
def here(seconds=60):
    Path("here").touch()
    time.sleep(seconds)
from mfer_lightning.cli import main
{stub}
main()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("to", ["process", "group"])
@pytest.mark.parametrize("where", STUBS)
def test_run_prints_one_line_and_exits_with_code_143(
    where: str, to: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(stub=STUBS[where]))
    options = (*FEW, "loader.num_workers=2", "trainer.max_epochs=1")
    with (tmp_path / "stderr.txt").open("wb") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                str(tmp_path / "program.py"),
                *options,
                f"trainer.compile={str(where == 'compilation').lower()}",
            ],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=file,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")},
            start_new_session=True,
        )
    request.addfinalizer(lambda: kill_group(process.pid))
    said = tmp_path / "stderr.txt"
    while process.poll() is None and not (tmp_path / "here").exists():
        time.sleep(0.02)
    assert process.poll() is None, said.read_text()[-2000:]
    time.sleep(0.3)
    began = time.monotonic()
    if to == "process":
        process.send_signal(signal.SIGTERM)
    else:
        os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 143, said.read_text()[-2000:]
    assert time.monotonic() - began < 10
    lines = [line for line in said.read_text().splitlines() if not NOISE.search(line)]
    assert len(lines) == 1, lines
    assert lines[0].startswith("Stopped by SIGTERM.")
    assert not list(tmp_path.glob("runs/*/checkpoints/interrupted.ckpt"))
    end = time.monotonic() + 20  # workers check every 5 seconds whether their trainer is still running
    while left := left_in(tmp_path):
        assert time.monotonic() < end, left
        time.sleep(0.2)


@pytest.mark.slow
def test_sweep_stops_with_its_job(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(stub=STUBS["first step"]))
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), "-m", *FEW, "seed=0,1", "name=s"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    request.addfinalizer(lambda: kill_group(process.pid))
    while process.poll() is None and not (tmp_path / "here").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "job 1" not in out
    assert [line for line in err.splitlines() if "image cache" not in line] == [
        "Stopped by SIGTERM. The same command starts the run again, because no epoch is complete yet."
    ]
