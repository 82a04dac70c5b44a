"""``mfer train``: compose the configuration, train, and end a sweep with its table.

Torch is imported when the first run starts, so that a mistake on the command line is answered at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.commands.launch import launch


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer train``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0, or 1 where a job of a sweep failed.
    """
    code, sweep_dir = launch("train", _train, arguments)
    if sweep_dir is not None:
        from mfer_lightning.commands.report import report_on_sweep
        from mfer_lightning.report.terminal import print_sweep
        from mfer_lightning.sweep.records import read_records, sweep_rows

        print_sweep(sweep_rows(read_records(sweep_dir)))
        print(f"Sweep: {sweep_dir}")
        report_on_sweep(sweep_dir, arguments)
    return code


def _train(config: dict[str, Any], parent: Path, in_sweep: bool) -> tuple[float | None, Path, bool]:
    from mfer_lightning.commands.run import train

    return train(config, parent, in_sweep)
