"""Commands called from Python, in their own folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands.conftest import few_run  # noqa: F401 - a fixture


@pytest.fixture
def here(blank_figures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
