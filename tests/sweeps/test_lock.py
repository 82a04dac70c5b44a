"""Two processes never train in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.lock import run_lock


def test_locked_folder_is_rejected_and_released_afterwards(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(UserError, match=r"in use by another process .pid "), run_lock(tmp_path):
        pass
    with run_lock(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_lock_on_a_deleted_file_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that opened the file before its owner deleted it would lock a file that no other process can see."""
    fcntl = pytest.importorskip("fcntl")
    real, deleted = fcntl.flock, []

    def delete_first(file, how):
        if not deleted:
            deleted.append((tmp_path / ".lock").unlink())
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with run_lock(tmp_path):
        assert (tmp_path / ".lock").exists()
        with pytest.raises(UserError, match="in use"), run_lock(tmp_path):
            pass
