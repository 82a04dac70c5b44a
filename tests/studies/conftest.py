"""Run the scripts of the studies in this process, since new processes would import torch each time."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parents[2] / "studies"


@dataclass(frozen=True)
class Said:
    """Exit code and output of a script."""

    code: int
    out: str
    err: str


Script = Callable[..., Said]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Script:
    """Run a script of ``studies/`` as if from a shell."""

    def run(name: str, *words: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        code: object = 0
        try:
            runpy.run_path(str(STUDIES / name), run_name="__main__")
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return Said(code, out, err) if isinstance(code, int) else Said(1, out, f"{err}{code}")  # as Python does

    return run
