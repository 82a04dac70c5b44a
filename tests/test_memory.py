"""Freed memory is kept if the C library supports it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from mfer_lightning.memory import importing_torch, keep_freed_memory


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD"])
def test_user_allocator_settings_are_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not keep_freed_memory()


def test_other_platforms_are_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_freed_block_is_reused_without_page_faults() -> None:
    """Count page faults of twenty consecutive blocks of 32 MB, with and without keeping freed memory."""
    code = """
import resource, sys
from mfer_lightning.memory import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(77)
import numpy as np
np.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {}
    for how in ("keep", "give back"):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        done = subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, env=env, check=False)
        if done.returncode == 77:
            pytest.skip("another C library")
        faults[how] = int(done.stdout)
    assert faults["keep"] * 5 < faults["give back"]


def test_objects_of_libraries_are_skipped_by_garbage_collection() -> None:
    code = (
        "import gc\nfrom mfer_lightning.memory import importing_torch\n"
        "with importing_torch():\n    assert not gc.isenabled()\n    kept = [[] for _ in range(1000)]\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 1000\n"
        "try:\n    with importing_torch():\n        import no_such_library\n"
        "except ImportError:\n    assert gc.isenabled()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    import torch  # noqa: F401

    frozen = gc.get_freeze_count()
    with importing_torch():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen, "objects of the caller"
