"""Two processes never train into one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.sweep.lock import run_lock


def test_a_held_folder_is_refused_and_free_again_afterwards(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(UserError, match=r"in use by another process .pid "), run_lock(tmp_path):
        pass
    with run_lock(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
