"""Finish a sweep: print its results and, for a search, the best trial, and write its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from mfer_lightning.reporting.terminal.results import print_sweep
from mfer_lightning.reporting.terminal.search import print_search
from mfer_lightning.sweeps.plan import Sweep
from mfer_lightning.sweeps.records import read_records, sweep_rows
from mfer_lightning.sweeps.search import best_trial


def end_sweep(sweep: Sweep, arguments: Sequence[str]) -> None:
    """Summarise a sweep. Called once, in the process that launched it, when its jobs have ended.

    Args:
        sweep: the planned sweep.
        arguments: the command-line arguments that started it; ``report=false`` turns the report off.
    """
    records = read_records(sweep.folder)
    to_the_end = [record for record in records if record.status != "pruned"]
    if to_the_end or sweep.study is None:
        rows = sweep_rows(to_the_end)
        if any("folds" in (row["result"] or ()) for row in rows):
            from mfer_lightning.reporting.study.folds import join_rows  # imports everything that a report needs

            rows = join_rows(rows, [record.run_dir for record in to_the_end])
        print_sweep(rows)
    if sweep.study is not None:
        best = best_trial(sweep.study, records, sweep.folder)
        print_search(
            best.progress.done,
            sweep.study.wanted,
            best.progress.failed,
            best.progress.pruned,
            best.progress.running,
            number=best.number,
            value=best.value,
            params=best.params,
            run_dir=best.run_dir,
        )
    print(f"Sweep: {sweep.folder}")
    _report(sweep.folder, arguments)


def _report(sweep_dir: Path, arguments: Sequence[str]) -> None:
    """Write the sweep's report, unless it is turned off; failures are reported in one line."""
    try:
        if not _wanted(sweep_dir, arguments):
            return
        # imported here, so that errors in plugins do not fail the sweep either
        from mfer_lightning.reporting.pages.document import Options
        from mfer_lightning.reporting.pages.write import PAGE, write_report

        write_report([str(sweep_dir)], sweep_dir / "report", Options())
        print(f"Report: {sweep_dir / 'report' / PAGE}")
    except Exception as error:  # the sweep is done, even if its report fails
        words = " ".join(str(error).split()) or type(error).__name__
        print(f"No report was written ({words}). Try again with: mfer report {sweep_dir}")


def _wanted(sweep_dir: Path, arguments: Sequence[str]) -> bool:
    said = [a.lstrip("+").partition("=")[2].strip().lower() for a in arguments if a.lstrip("+").startswith("report=")]
    if said:
        return said[-1] not in ("false", "no", "off", "0")
    composed = sweep_dir / "multirun.yaml"  # the configuration that Hydra composed for this invocation
    found = yaml.safe_load(composed.read_text(encoding="utf-8")) if composed.is_file() else None
    return bool(found.get("report", True)) if isinstance(found, dict) else True
