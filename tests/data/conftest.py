"""Small datasets shared by several test files; read only."""

from __future__ import annotations

from pathlib import Path

import pytest
from data.trees import write_ferplus


@pytest.fixture(scope="session")
def ferplus_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FERPlus tree of 64 + 16 + 16 images; read only."""
    return write_ferplus(tmp_path_factory.mktemp("trees") / "ferplus")
