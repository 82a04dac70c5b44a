"""What all tests share."""

from __future__ import annotations

import os

import pytest

# One thread a worker: the suite runs in two processes, and timings do not matter here.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's own cache of decoded images."""
    monkeypatch.setenv("MFER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
