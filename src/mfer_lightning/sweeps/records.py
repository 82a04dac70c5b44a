"""Record how each job of a sweep ended: one small file a job, read when the sweep ends."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mfer_lightning.files import write_json

#: Set by the launching process, inherited by its jobs: tells this sweep's records from those of an earlier start.
TOKEN = "MFER_SWEEP_TOKEN"  # noqa: S105 - a name, not a secret


#: Why a job has no result that has not said so itself.
CUT_OFF = (
    "its process ended without a word (killed, out of memory, or out of time), or has not ended yet; "
    "the same command continues it"
)


@dataclass(frozen=True)
class JobRecord:
    """How one job of a sweep ended.

    Args:
        number: the job's number in the sweep, from 0.
        overrides: the job's own command line, e.g. ``("loss=ce", "seed=0")``.
        status: ``"running"``, ``"done"``, ``"skipped"`` (was finished before), ``"pruned"`` (a trial of a search that
            was given up early) or ``"failed"``. A job that still says running when the sweep has ended was cut off.
        run_dir: the run's folder.
        error: why it failed, in one message; None if it did not.
        token: which start of the sweep this belongs to.
        host: machine that it ran on; empty if it never began.
        cards: its ``CUDA_VISIBLE_DEVICES``; empty if that was not set.
    """

    number: int
    overrides: tuple[str, ...]
    status: Literal["running", "done", "skipped", "pruned", "failed"]
    run_dir: str
    error: str | None = None
    token: str = ""
    host: str = ""
    cards: str = ""

    @property
    def has_result(self) -> bool:
        """Whether the job's run is finished."""
        return self.status in ("done", "skipped")

    def write(self, sweep_dir: Path) -> None:
        """Write the record into the sweep's folder."""
        write_json(record_file(sweep_dir, self.number), {**asdict(self), "token": os.environ.get(TOKEN, "")})


def record_file(sweep_dir: Path, number: int) -> Path:
    """Return where the record of a job is; its output is beside it, in a ``.log``."""
    return sweep_dir / "jobs" / f"{number:04d}.json"


def record_files(sweep_dir: Path) -> list[Path]:
    """List the records of a sweep's folder, in the order of its jobs.

    Other jobs write theirs meanwhile: files that are not whole yet have other names, which ``glob("*.json")`` would
    match as well, and are gone a moment later.
    """
    return sorted((sweep_dir / "jobs").glob("[0-9]*.json"), key=lambda path: (len(path.name), path.name))


def read_records(sweep_dir: Path) -> list[JobRecord]:
    """Read the records of the sweep that this process started, in the order of its jobs."""
    found = (_read(path) for path in record_files(sweep_dir))
    return [record for record in found if record is not None]


def read_record(sweep_dir: Path, number: int) -> JobRecord | None:
    """Read one record of the sweep that this process started; None if its job has not begun."""
    try:
        return _read(record_file(sweep_dir, number))
    except (OSError, ValueError):
        return None


def _read(path: Path) -> JobRecord | None:
    """Read a record; None for one of an earlier start of the sweep."""
    data = json.loads(path.read_text(encoding="utf-8"))
    ours = data["token"] == os.environ.get(TOKEN, "")
    return JobRecord(**{**data, "overrides": tuple(data["overrides"])}) if ours else None


def varied_axes(records: Sequence[JobRecord]) -> list[str]:
    """Name the overrides whose value differs between jobs, in the order of the command line.

    Example:
        >>> jobs = [JobRecord(i, (f"loss={v}", "seed=0"), "done", "") for i, v in enumerate(("ce", "dsf"))]
        >>> varied_axes(jobs)
        ['loss']
    """
    values: dict[str, set[str]] = {}
    for record in records:
        for key, value in overrides_as_dict(record.overrides).items():
            values.setdefault(key, set()).add(value)
    return [key for key, seen in values.items() if len(seen) > 1]


def overrides_as_dict(overrides: Sequence[str]) -> dict[str, str]:
    """Split ``key=value`` overrides; Hydra's ``+`` and ``++`` before a key are left out."""
    pairs = (o.lstrip("+").partition("=") for o in overrides if "=" in o)
    return {key: value for key, _, value in pairs}


def sweep_rows(records: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """Join the records of a sweep with the results of their runs.

    Returns:
        One dict a job: a value for each varied axis but the seed, ``seed``, ``status``, ``result`` (the content of
        ``result.json``, or None), ``error``.
    """
    axes = [a for a in varied_axes(records) if a != "seed"]
    rows: list[dict[str, Any]] = []
    for record in records:
        values = overrides_as_dict(record.overrides)
        result: Mapping[str, Any] | None = None
        path = Path(record.run_dir) / "result.json"
        if record.has_result and path.is_file():
            result = json.loads(path.read_text(encoding="utf-8"))
        row: dict[str, Any] = {axis: _short(values.get(axis, "")) for axis in axes}
        row |= {"seed": values.get("seed"), "status": record.status, "result": result}
        row["error"] = CUT_OFF if record.status == "running" else record.error
        rows.append(row)
    return rows


def _short(value: str) -> str:
    """Write a number that a sampler drew with six digits, which fit into a table."""
    try:
        return value if len(value) <= 10 else f"{float(value):.6g}"
    except ValueError:
        return value
