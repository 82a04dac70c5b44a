"""A rank ends soon after the first rank has died, at any time after its start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands.processes import Bench
from commands.processes import bench as bench
from faults.test_killed_ranks import begin, parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

#: Maximum seconds until the rank has ended: it looks every two seconds.
NOTICE = 10

#: Makes ``import torch`` take forever in ranks other than the first. On a busy machine, it can take a minute.
ENDLESS = """
import os, pathlib, sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            pathlib.Path(os.environ["IMPORTING"]).touch()
            time.sleep(1000)

if os.environ.get("LOCAL_RANK") == "1":
    sys.meta_path.insert(0, Slow())
"""

#: Starts a rank as Lightning does, and waits for it. An argument is used as the process id of the first rank.
STARTS = """
import os, subprocess, sys
rank = {"MFER_FIRST_RANK": sys.argv[1] if sys.argv[1:] else str(os.getpid()), "LOCAL_RANK": "1"}
subprocess.run([sys.executable, "-m", "mfer_lightning", "dataset=facs"], env={**os.environ, **rank})
"""


def wait_until(true: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def slow_import(folder: Path) -> dict[str, str]:
    """Return environment variables that apply :data:`ENDLESS`; the file ``importing`` then marks its start."""
    (folder / "slow").mkdir()
    (folder / "slow" / "sitecustomize.py").write_text(ENDLESS)
    path = os.pathsep.join(filter(None, [str(folder / "slow"), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "IMPORTING": str(folder / "importing")}


def test_rank_that_is_still_importing_ends_with_the_first_rank(bench: Bench) -> None:
    environment = bench.environment(**slow_import(bench.folder))
    first = subprocess.Popen([sys.executable, "-c", STARTS], env=environment, cwd=bench.folder)
    assert wait_until((bench.folder / "importing").exists, 60)
    first.kill()
    first.wait()
    assert wait_until(lambda: not bench.running(), NOTICE), bench.running()


def test_rank_whose_first_rank_has_died_before_its_start_ends(bench: Bench) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    environment = bench.environment(**slow_import(bench.folder))
    subprocess.run([sys.executable, "-c", STARTS, str(dead.pid)], env=environment, cwd=bench.folder, timeout=60)
    assert not bench.running()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rank_started_by_lightning_ends_with_the_first_rank_while_it_imports(bench: Bench) -> None:
    process = begin(bench, "killed", **slow_import(bench.folder))
    importing = (bench.folder / "importing").exists
    assert wait_until(lambda: importing() or process.poll() is not None, 300)
    assert process.poll() is None
    assert [n for n in bench.running() if parent(n) == process.pid]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not bench.running(), NOTICE), bench.running()
