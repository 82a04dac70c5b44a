"""The notebooks run from top to bottom, in a small version and unchanged; their stored outputs are checked.

The small version runs cells and commands in this process: a kernel, and a process for each command, would import torch
and Lightning a dozen times, which takes most of the time. The unchanged version uses a kernel and separate processes.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from mfer_lightning.cli import main

pytest.importorskip("IPython")
nbformat = pytest.importorskip("nbformat")
NotebookClient = pytest.importorskip("nbclient").NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SIZE = 300_000  # bytes of a notebook with its outputs


def run(path: Path, scratch: Path) -> None:
    NotebookClient(nbformat.read(path, as_version=4), timeout=1200, kernel_name="python3").execute(cwd=str(scratch))


in_a_process = subprocess.run


def here(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run our command lines in this process instead of a new one; other commands run in a new process."""
    if list(command[:3]) != [sys.executable, "-m", "mfer_lightning"]:
        return in_a_process(command, **options)
    assert options.keys() == {"cwd", "env", "capture_output", "text"}
    cwd, env = options["cwd"], options["env"]
    before, said, complaint = Path.cwd(), io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complaint):
        for name in os.environ.keys() | env.keys():
            patch.setenv(name, env[name]) if name in env else patch.delenv(name)
        os.chdir(cwd)
        try:
            main(command[3:])
        except SystemExit as stop:
            return subprocess.CompletedProcess(command, int(stop.code or 0), said.getvalue(), complaint.getvalue())
        finally:
            os.chdir(before)
    raise AssertionError("the command line ended without an exit code")


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_in_its_small_version(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.setenv("MFER_NOTEBOOKS", "fast")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", here)
    shell = InteractiveShell(user_ns={}, ipython_dir=str(tmp_path))
    shell.history_manager.enabled = False
    try:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                shell.run_cell(cell.source).raise_error()
    finally:
        shell.restore_sys_module_state()
        InteractiveShell.clear_instance()


@pytest.mark.slow
@pytest.mark.timeout(3600)  # they train: minutes each on a fast machine
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_unchanged(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MFER_NOTEBOOKS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run(path, tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_stored_small_and_without_errors(path: Path) -> None:
    assert path.stat().st_size < SIZE
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "execute the notebook again"
    outputs = [o for cell in cells for o in cell.outputs]
    assert outputs
    assert not [o for o in outputs if o["output_type"] == "error"]
