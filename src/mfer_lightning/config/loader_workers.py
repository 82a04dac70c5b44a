"""Bound the number of processes that read faces (``loader.num_workers``)."""

from __future__ import annotations

import os


def most_workers() -> int:
    """Return how many processes may read faces: a generous multiple of the cores that any machine can start."""
    return max(32, 8 * (os.cpu_count() or 1))


def too_many_workers(workers: int) -> str:
    """Explain why so many processes are refused."""
    return (
        f"loader.num_workers={workers}: each of them is a process of its own, and this machine has "
        f"{os.cpu_count() or 1} cores. The value must be at most {most_workers()}."
    )
