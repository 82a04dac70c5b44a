"""Run command lines in separate processes, and find processes that they leave running."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from commands.conftest import FACS

#: Environment variable that marks the processes of a test, inherited by their children.
MARK = "MFER_TEST_MARK"

#: One epoch of two steps; no accelerator is set, so that trainer=... can select one.
SMALL = (
    *(a for a in FACS if not a.startswith(("trainer.accelerator", "trainer.max_epochs", "evaluation."))),
    "trainer.max_epochs=1",
    "dataset.train_size=32",
    "evaluation.embedding_points=0",
)


@dataclass
class Bench:
    """A folder for running command lines.

    Args:
        folder: working directory.
    """

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", MARK: self.mark, **more}

    def mfer(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.program("mfer_lightning", *SMALL, *arguments, **more)

    def program(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment(**more),
            timeout=540,
        )

    def running(self) -> dict[int, str]:
        """Return process id and command line of the processes of this bench and their children."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def left_running(self) -> list[str]:
        """Return the command lines of the processes of this bench that are still running after a moment."""
        for _ in range(40):
            if not (found := self.running()):
                return []
            time.sleep(0.25)
        return list(found.values())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench in the test's folder. Processes left by a failed test are killed, since they would slow down others."""
    made = Bench(tmp_path)
    yield made
    while left := made.running():
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.1)


def ranks_of(run: Path) -> list[tuple[int, int, str]]:
    """Return the log entries of each process of a run: its id, its rank, and the name of its run."""
    text = (run / "log.txt").read_text()
    return [(int(p), int(r), n) for p, r, n in re.findall(r"INFO process (\d+), rank (\d+): (\S+)", text)]


def check_two_ranks(run: Path) -> None:
    """Check that two ranks in two processes trained the run that the folder is named after."""
    ranks = ranks_of(run)
    assert sorted(r for _, r, _ in ranks) == [0, 1]
    assert len({p for p, _, _ in ranks}) == 2
    assert {n for _, _, n in ranks} == {run.name}


def results(folder: Path) -> dict[Path, dict]:
    """The finished runs of a sweep's folder."""
    return {f.parent: json.loads(f.read_text()) for f in sorted(folder.glob("*/result.json"))}
