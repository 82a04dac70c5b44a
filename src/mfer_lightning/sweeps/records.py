"""Record the outcome of each job of a sweep: one small file per job, read when the sweep ends."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mfer_lightning.files import write_json

#: Environment variable set by the launching process and inherited by its jobs. It distinguishes the records of this
#: invocation from those of earlier ones.
TOKEN = "MFER_SWEEP_TOKEN"  # noqa: S105 - a name, not a secret


#: Error shown for a job that has no result and reported no error itself.
CUT_OFF = (
    "its process ended without an error message (killed, out of memory or time), or is still running; "
    "the same command continues it"
)


@dataclass(frozen=True)
class JobRecord:
    """Outcome of a job of a sweep.

    Args:
        number: the job's number in the sweep, from 0.
        overrides: overrides of the job, e.g. ``("loss=ce", "seed=0")``.
        status: ``"running"``, ``"done"``, ``"skipped"`` (already finished), ``"pruned"`` (a trial of a search that was
            stopped early) or ``"failed"``. A job that could not record its end, e.g. because its process was killed,
            stays ``"running"``.
        run_dir: the run's folder if the job has a result, otherwise the sweep's folder.
        error: error message; None if it did not fail.
        token: identifies the invocation of the command that started the sweep.
        host: machine that the job ran on; empty if unknown.
        cards: ``CUDA_VISIBLE_DEVICES`` of the job; empty if not set.
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
        """Write the record to the sweep's folder."""
        write_json(record_file(sweep_dir, self.number), {**asdict(self), "token": os.environ.get(TOKEN, "")})


def record_file(sweep_dir: Path, number: int) -> Path:
    """Return the path of a job's record; the ``.log`` file next to it contains the job's output."""
    return sweep_dir / "jobs" / f"{number:04d}.json"


def record_files(sweep_dir: Path) -> list[Path]:
    """List the records in a sweep's folder, in job order.

    Other jobs may be writing their records at the same time. Incomplete files have other names, which
    ``glob("*.json")`` would also match, and disappear a moment later.
    """
    return sorted((sweep_dir / "jobs").glob("[0-9]*.json"), key=lambda path: (len(path.name), path.name))


def read_records(sweep_dir: Path) -> list[JobRecord]:
    """Read the records of the sweep started by this process, in job order."""
    found = (_read(path) for path in record_files(sweep_dir))
    return [record for record in found if record is not None]


def read_record(sweep_dir: Path, number: int) -> JobRecord | None:
    """Read one record of the sweep started by this process; None if its job has not started."""
    try:
        return _read(record_file(sweep_dir, number))
    except (OSError, ValueError):
        return None


def _read(path: Path) -> JobRecord | None:
    """Read a record; None if it belongs to an earlier invocation."""
    data = json.loads(path.read_text(encoding="utf-8"))
    ours = data["token"] == os.environ.get(TOKEN, "")
    return JobRecord(**{**data, "overrides": tuple(data["overrides"])}) if ours else None


def varied_axes(records: Sequence[JobRecord]) -> list[str]:
    """Return the overrides whose value differs between jobs, in the order of the command line.

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
    """Split ``key=value`` overrides, removing Hydra's ``+`` and ``++`` prefixes."""
    pairs = (o.lstrip("+").partition("=") for o in overrides if "=" in o)
    return {key: value for key, _, value in pairs}


def sweep_rows(records: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """Combine the records of a sweep with the results of their runs.

    Returns:
        One dict per job: a value for each varied axis except the seed, ``seed``, ``status``, ``result`` (the content of
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
    """Format a sampled number with six digits, to fit into a table."""
    try:
        return value if len(value) <= 10 else f"{float(value):.6g}"
    except ValueError:
        return value
