"""The documentation site builds without a warning, with a page for each document and an API reference."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parts[0] != "reference"], ids=str)
def test_each_page_is_in_the_contents(page: Path) -> None:
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    assert page.name == "index.md" or page.with_suffix("").as_posix() in contents


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("furo")
    pytest.importorskip("myst_nb")
    sphinx = [sys.executable, "-m", "sphinx", "--builder", "html", "--fail-on-warning", "--quiet"]
    done = subprocess.run([*sphinx, "docs", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    losses = (tmp_path / "reference" / "mfer_lightning.losses.html").read_text(encoding="utf-8")
    assert "CenterLoss" in losses
    assert (tmp_path / "searchindex.js").is_file()
