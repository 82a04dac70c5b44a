"""Help, commands and exit codes of the real command line, in separate processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mfer_lightning
from mfer_lightning.cli import VERBS, help_text


def mfer(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mfer_lightning", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=240,
    )


def test_help_lists_verbs_and_choices_without_importing_torch_or_hydra() -> None:
    code = (
        "import sys; sys.argv = ['mfer', '--help']\n"
        "from mfer_lightning.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert e.code == 0\n"
        "heavy = {'torch', 'hydra', 'numpy', 'lightning', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for word in (*VERBS, "affectnet8", "dsf", "convnext_base", "--multirun"):
        assert word in done.stdout


def test_help_fits_a_terminal() -> None:
    assert max(len(line) for line in help_text().splitlines()) <= 100


def test_version() -> None:
    assert mfer("--version").stdout.strip() == f"mfer_lightning {mfer_lightning.__version__}"


#: One of each kind, in a separate process; many more: tests/commands/test_mistakes.py.
WRONG = [
    (["trian"], r"not a command: did you mean 'train'"),
    (["loss=dfs"], r"loss=dfs: .*Did you mean 'dsf'"),
    (["trainer.max_epochs=abc"], r"trainer\.max_epochs=abc: .*whole number"),
    (["loss"], r"neither a command nor an option|not a command"),
    (["--experimental-rerun=x"], r"can execute code"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_invalid_command_line_gives_one_message_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = mfer(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "a rejected command leaves no files"


def test_traceback_can_be_requested(tmp_path: Path) -> None:
    done = mfer("loss=dfs", cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_readme_command_composes_the_paper_network(tmp_path: Path) -> None:
    done = mfer("dataset=affectnet8", "loss=dsf", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "name: convnext_base" in done.stdout
    assert "size: 224" in done.stdout


@pytest.mark.slow
def test_missing_data_error_names_the_paths_searched(tmp_path: Path) -> None:
    """For the other datasets, see tests/training/test_checks.py."""
    done = mfer("dataset=affectnet8", f"paths.data={tmp_path}/none", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{tmp_path}/none" in done.stderr
