"""Fixtures and settings shared by all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from blank import blank_drawings
from hydra._internal.hydra import Hydra

# One thread per worker: the suite runs in two processes, and timings do not matter here.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")


def pytest_collection_finish() -> None:
    """Exclude the imported modules and the collected tests from garbage collection, which took a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def blank_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make figures blank, except in tests marked ``drawn``."""
    with nullcontext() if request.node.get_closest_marker("drawn") else blank_drawings():
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_composition() -> Iterator[None]:
    """Skip Hydra's first composition, which only looks for ``hydra.mode``: rejected commands then take half the time.

    Only ``sweep=optuna`` sets it, and this package starts such sweeps with ``-m``. Tests of command lines in separate
    processes have both compositions.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", lambda *_, **__: None)
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the user's cache of decoded images."""
    monkeypatch.setenv("MFER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
