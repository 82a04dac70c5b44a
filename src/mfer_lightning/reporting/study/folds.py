"""Join the runs of a cross-validation, one per fold, into one result per seed, and make the table of its folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.runs import StoredResult, read_folder
from mfer_lightning.evaluation.schema import Result
from mfer_lightning.evaluation.statistics.folds import fold_intervals, join_predictions
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.study.method_table import MethodRow, method_table
from mfer_lightning.reporting.study.runs import Run, open_runs
from mfer_lightning.reporting.study.sections import Method, Section
from mfer_lightning.reporting.study.tables import NOTHING, Cell, Column, Table, share, spread

#: The option in which the runs of a cross-validation differ.
OPTION = "dataset.fold"

_DEPENDENT = (
    "Each run joins the folds of a cross-validation. Comparisons of methods treat faces as independent, but faces "
    "of one subject are not, so the tests report differences too often."
)


@dataclass(frozen=True, eq=False)
class JoinedRun(Run):
    """All folds of a cross-validation as one run: each face is predicted by a network not trained on its subject.

    Args:
        folds: the runs of the folds, in order.
    """

    folds: tuple[Run, ...] = ()


def fold_of(stored: StoredResult) -> tuple[int, int] | None:
    """Return the fold of a result and the number of folds; None without folds, or if the split is not test."""
    said = stored.result.get("folds")
    if not isinstance(said, Mapping) or stored.result["split"] != "test":
        return None
    return int(said["fold"]), int(said["of"])


def join_folds(runs: Sequence[Run]) -> list[Run]:
    """Join the runs that differ only in their fold, if all folds are present.

    Runs of different folds are never treated as repetitions with different seeds, because each fold has its own test
    set. The runs of an incomplete cross-validation are returned unjoined.

    Args:
        runs: runs of a study.

    Returns:
        The runs, with complete cross-validations joined, in the order of their first runs.
    """
    groups: dict[Any, dict[int, Run]] = {}
    kept: list[Run] = []
    for run in runs:
        found = fold_of(run)
        if found is None or run.table is None:
            kept.append(run)
            continue
        flat = tuple(sorted((key, value) for key, value in run.flat.items() if key != OPTION))
        members = groups.setdefault((run.result["protocol"], found[1], flat, run.seed, run.trained), {})
        if found[0] in members:
            kept.append(run)  # a repetition: sections leave it out with a note
        else:
            members[found[0]] = run
    for (_, of, *_), members in groups.items():
        ordered = [members[fold] for fold in sorted(members)]
        kept += [_joined(ordered)] if len(members) == of else ordered
    place = {id(run): number for number, run in enumerate(runs)}
    return sorted(kept, key=lambda run: place[id(run.folds[0] if isinstance(run, JoinedRun) else run)])


def _joined(runs: Sequence[Run]) -> JoinedRun:
    first = runs[0]
    tables = [cast(Predictions, run.table) for run in runs]
    table = join_predictions(tables)
    notes = dict.fromkeys(str(note) for run in runs for note in run.result["notes"])
    costs = [run.result["cost"] for run in runs]
    result = {
        **first.result,
        **evaluate(table),
        "evaluation_set": f"all {len(runs)} folds by subject, joined",
        "intervals": fold_intervals(tables),
        "notes": list(notes),
        "selection": {**first.result["selection"], "epoch": None, "value": None},
        "cost": {**costs[0], "seconds": sum(float(cost.get("seconds") or 0.0) for cost in costs)},
        "folds": {"joined": len(runs)},
    }
    result.pop("files", None)
    flat = {key: value for key, value in first.flat.items() if key != OPTION}
    folder = Path(first.folder.parent) / f"{first.folder.name} and {counted(len(runs) - 1, 'more fold')}"
    return JoinedRun(folder, cast(Result, result), first.trained, None, flat, table, tuple(runs))


def is_joined(section: Section) -> bool:
    """Whether the runs of a section are joined folds."""
    return any(isinstance(run, JoinedRun) for run in section.runs)


def fold_table(section: Section) -> Table | None:
    """Make the table of the folds of each method; None if there are none. Add a note if there are several methods."""
    if not is_joined(section):
        return None
    if len(section.methods) > 1:
        section.notes.append(_DEPENDENT)
    over = "delete-one-fold jackknife, Student's t; bounds averaged over seeds"
    columns = (
        Column("folds", numeric=True),
        Column("joined accuracy %", numeric=True, about="over all faces, each predicted once; mean over seeds"),
        Column("95% interval over folds", numeric=True, about=over),
        Column("mean of the folds %", numeric=True, about="all folds weighted equally; sample standard deviation"),
        Column("lowest fold %", numeric=True),
        Column("highest fold %", numeric=True),
    )

    def row(method: Method) -> MethodRow | None:
        runs = [run for run in method.runs if isinstance(run, JoinedRun)]
        if not runs:
            return None
        folds = [value for run in runs for fold in run.folds if (value := fold.metric("accuracy")) is not None]
        ends = [found for run in runs if (found := (run.result.get("intervals") or {}).get("accuracy")) is not None]
        low, high = np.mean(ends, axis=0).tolist() if ends else (None, None)
        accuracy = float(np.mean(method.figures("accuracy")))
        interval = NOTHING if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}"
        cells = (
            Cell(str(len(runs[0].folds)), len(runs[0].folds)),
            share(accuracy),
            Cell(interval, low),
            spread(folds),
            share(min(folds)),
            share(max(folds)),
        )
        data = {"folds": len(runs[0].folds), "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
        return cells, data | {"mean_of_folds": float(np.mean(folds)), "lowest": min(folds), "highest": max(folds)}

    caption = (
        "One run per fold. The joined accuracy is over faces. Its interval is over folds, because faces of one "
        "subject are not independent, and faces of one fold are predicted by the same network."
    )
    return method_table(section, "folds", "Folds", columns, row, caption)


def join_rows(rows: Sequence[dict[str, Any]], run_dirs: Sequence[str]) -> list[dict[str, Any]]:
    """Join the rows of a sweep's jobs that differ only in their fold, if all folds are finished.

    Args:
        rows: rows from :func:`mfer_lightning.sweeps.records.sweep_rows`.
        run_dirs: folder of each row's run.

    Returns:
        The rows: one per cross-validation with the joined result, instead of one per fold.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, row in enumerate(rows):
        if row["result"] is not None and not row["error"] and isinstance(row["result"].get("folds"), Mapping):
            setting = tuple(str(v) for k, v in row.items() if k not in (OPTION, "status", "result", "error"))
            groups.setdefault(setting, []).append(number)
    merged: dict[int, dict[str, Any] | None] = {}
    for numbers in groups.values():
        stored = [found for n in numbers if isinstance(found := read_folder(Path(run_dirs[n])), StoredResult)]
        joined = join_folds([_alike(run) for run in open_runs(stored)[0]])
        if len(joined) == 1 and isinstance(joined[0], JoinedRun):
            first = {key: value for key, value in rows[numbers[0]].items() if key != OPTION}
            merged |= dict.fromkeys(numbers[1:]) | {numbers[0]: {**first, "result": joined[0].result}}
    left = [merged.get(number, row) for number, row in enumerate(rows)]
    return [row for row in left if row is not None]


def _alike(run: Run) -> Run:
    """Remove the configuration of a run, because the options of a sweep's jobs already distinguish it."""
    return replace(run, flat={})
