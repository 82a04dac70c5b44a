"""``mfer train``: compose the configuration, train, and end a sweep with its table.

Torch is imported when the first run starts, so that a mistake on the command line is answered at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.sweeps.launch import launch
from mfer_lightning.sweeps.plan import Sweep


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer train``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0, or 1 where a job of a sweep failed.
    """
    code, sweep = launch("train", _train, arguments)
    if sweep is not None:
        _end_sweep(sweep, arguments)
    return code


def _end_sweep(sweep: Sweep, arguments: Sequence[str]) -> None:
    """Say what came of a sweep. Called once, in the process that launched it, when its jobs have ended."""
    from mfer_lightning.commands.report import report_on_sweep
    from mfer_lightning.reporting.terminal.results import print_sweep
    from mfer_lightning.reporting.terminal.search import print_search
    from mfer_lightning.sweeps.records import read_records, sweep_rows
    from mfer_lightning.sweeps.search import best_trial

    records = read_records(sweep.folder)
    if records or sweep.study is None:
        print_sweep(sweep_rows(records))
    if sweep.study is not None:
        best = best_trial(sweep.study, records, sweep.folder)
        print_search(
            best.progress.done,
            sweep.study.wanted,
            best.progress.failed,
            number=best.number,
            value=best.value,
            params=best.params,
            run_dir=best.run_dir,
        )
    print(f"Sweep: {sweep.folder}")
    report_on_sweep(sweep.folder, arguments)


def _train(config: dict[str, Any], parent: Path, in_sweep: bool) -> tuple[float | None, Path, bool]:
    from mfer_lightning.training.run import train

    return train(config, parent, in_sweep)
