"""The notebooks run from top to bottom: in a small version here, as they are with the slow tests."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
NotebookClient = pytest.importorskip("nbclient").NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SIZE = 300_000  # bytes of a notebook with its outputs


def run(path: Path, scratch: Path) -> None:
    NotebookClient(nbformat.read(path, as_version=4), timeout=1200, kernel_name="python3").execute(cwd=str(scratch))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_in_its_small_version(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFER_NOTEBOOKS", "fast")
    run(path, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_as_it_is(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MFER_NOTEBOOKS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run(path, tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_light_and_without_errors(path: Path) -> None:
    assert path.stat().st_size < SIZE
    outputs = [o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", [])]
    assert not [o for o in outputs if o["output_type"] == "error"]
