"""A clock set back by an hour: no file is kept longer, built twice or rejected."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from data.images.test_cache import Numbers

from mfer_lightning.data.images.cache import CacheFile, build_cache
from mfer_lightning.demo.temporary_uploads import sweep
from mfer_lightning.sweeps.lock import run_lock

HOUR = 3600.0


@pytest.fixture
def jumped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock back by an hour."""
    now, nanoseconds = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() - HOUR)
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() - int(HOUR * 1e9))


def test_upload_with_a_future_timestamp_is_deleted(tmp_path: Path, jumped: None) -> None:
    for name, written in (("before the jump", time.time() + HOUR), ("after the jump", time.time())):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (written, written))
    sweep(tmp_path, patience=120)
    assert [file.name for file in tmp_path.iterdir()] == ["after the jump"]


def test_cache_with_a_future_timestamp_is_used(tmp_path: Path, jumped: None) -> None:
    with pytest.MonkeyPatch.context() as before:
        before.setattr(time, "time_ns", lambda: int(1e18 * 2))
        first = build_cache(Numbers(20), np.arange(20), tmp_path, "x", 1)
    again = Numbers(20)
    assert build_cache(again, np.arange(20), tmp_path, "x", 1) == first
    assert again.reads == 0
    second = build_cache(Numbers(20, size=5), np.arange(20), tmp_path, "x", 1)
    assert CacheFile(second).images[:, 0, 0, 0].tolist() == list(range(20))


def test_lock_of_a_dead_process_with_a_future_timestamp_is_ignored(tmp_path: Path, jumped: None) -> None:
    (tmp_path / ".lock").write_text("pid 1")
    os.utime(tmp_path / ".lock", (time.time() + 2 * HOUR,) * 2)
    with run_lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"pid {os.getpid()}"
    assert not (tmp_path / ".lock").exists()
