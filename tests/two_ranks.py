"""Run a script as two gloo ranks, each in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def beside_one(script: str | Path, folder: Path, alone: Callable[[], Any], *more: str) -> tuple[Any, list[Any]]:
    """Return the result of this process alone, and the results of two ranks.

    Args:
        script: takes RANK WORLD_SIZE RENDEZVOUS_FILE OUTPUT, and saves its result to OUTPUT with ``torch.save``.
        folder: folder for the files.
        alone: computes the same without a process group.
        *more: further arguments of the script.
    """
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                str(script),
                str(rank),
                "2",
                str(folder / "rendezvous"),
                str(folder / f"{rank}.pt"),
                *more,
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    one = alone()
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return one, [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
