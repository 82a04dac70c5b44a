"""``mfer train``: compose the configuration, train, and print the results table of a sweep.

torch is imported when the first run starts, so that errors on the command line are reported immediately.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.sweeps.launch import launch
from mfer_lightning.termination import one_line_on_sigterm


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer train``.

    Args:
        arguments: the command-line arguments after ``train``.

    Returns:
        Exit code: 0, or 1 if a job of a sweep failed.
    """
    with one_line_on_sigterm(leave=True):
        code, sweep = launch("train", _train, arguments)
        if sweep is not None:
            from mfer_lightning.reporting.sweep_end import end_sweep

            end_sweep(sweep, arguments)
    return code


def _train(config: dict[str, Any], parent: Path, in_sweep: bool) -> tuple[float | None, Path, bool]:
    from mfer_lightning.training.run import train

    return train(config, parent, in_sweep)
