"""Read ``metrics.csv``, the metrics of a run by epoch."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from mfer_lightning.errors import UserError

#: A curve: (epoch, value) pairs in order of increasing epoch.
Curve = list[tuple[int, float]]
#: A file, or its rows.
Metrics = str | Path | Iterable[Mapping[str, object]]


def read_rows(metrics: Metrics) -> list[Mapping[str, object]]:
    """Read the rows of ``metrics.csv``.

    Raises:
        UserError: if the file cannot be read.
    """
    if not isinstance(metrics, (str, Path)):
        return list(metrics)
    try:
        with Path(metrics).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"Cannot read the metrics {metrics}: {words or error}.") from error


def read_curves(metrics: Metrics) -> dict[str, Curve]:
    """Read the curves of a run from its ``metrics.csv``, or from a file of Lightning's ``CSVLogger``.

    Lightning's rows are sparse (validation and training metrics of an epoch are in different rows). The last value of
    an epoch is used. If Lightning logs a metric as ``x_step`` and ``x_epoch``, the epoch value is used for ``x``. A
    learning rate (``lr-AdamW``, logged at a step) is assigned to the epoch in its row, or to that of the next row with
    an epoch.

    Args:
        metrics: a file, or its rows.

    Returns:
        Name -> curve, without the columns ``epoch`` and ``step``, and without names that have no values.

    Raises:
        UserError: if the file cannot be read or has no column ``epoch``.

    Example:
        >>> rows = [{"epoch": "0", "val/loss": "2.0", "train/loss": ""}, {"epoch": "0", "train/loss": "2.5"}]
        >>> read_curves(rows)
        {'val/loss': [(0, 2.0)], 'train/loss': [(0, 2.5)]}
    """
    rows = read_rows(metrics)
    if rows and not any("epoch" in row for row in rows):
        raise UserError(
            f"There is no column epoch among {', '.join(map(str, rows[0]))}, so these are not the metrics of a "
            "training run. Give the metrics.csv of a run."
        )
    curves: dict[str, dict[int, float]] = {}
    pending: dict[str, float] = {}
    for row in rows:
        epoch = _number(row.get("epoch"))
        values = {name: _number(cell) for name, cell in row.items() if name not in ("epoch", "step", None)}
        found = {name: value for name, value in values.items() if value is not None}
        if epoch is None:
            pending.update(found)
            continue
        for name, value in {**pending, **found}.items():
            curves.setdefault(name, {})[int(epoch)] = value
        pending = {}
    for name in [name for name in curves if name.endswith("_epoch")]:
        curves[name.removesuffix("_epoch")] = curves.pop(name)
    for name in [name for name in curves if name.endswith("_step")]:
        curve = curves.pop(name)
        curves.setdefault(name.removesuffix("_step"), curve)
    return {name: sorted(curve.items()) for name, curve in curves.items()}


def _number(cell: object) -> float | None:
    if cell is None or cell == "":
        return None
    try:
        value = float(str(cell))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
