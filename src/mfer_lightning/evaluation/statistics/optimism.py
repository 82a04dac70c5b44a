"""Measure the optimism gap: how much higher a metric would be if its epoch were selected on the test set."""

from __future__ import annotations

from dataclasses import dataclass

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics_csv import Metrics, read_rows

#: Number of final epochs to average.
LAST = 5


@dataclass(frozen=True)
class OptimismGap:
    """A test metric of a run under three selection rules, as fractions.

    Args:
        val_selected: value at the epoch selected on the validation set, which is unbiased.
        best_on_test: maximum over all epochs, as reported if the epoch is selected on the test set.
        mean_of_last_five: mean over the last five epochs (or fewer), which needs no selection.
        gap: ``best_on_test - val_selected``, never negative.
    """

    val_selected: float
    best_on_test: float
    mean_of_last_five: float
    gap: float


def optimism_gap(history: Metrics, selection_epoch: int, metric: str = "accuracy") -> OptimismGap | None:
    """Measure the optimism gap of a run that recorded its test metrics each epoch (``track_test=true``).

    Args:
        history: the run's ``metrics.csv``, or its rows.
        selection_epoch: epoch selected on val, counted from 0 as in ``metrics.csv`` (``result["selection"]["epoch"]``).
        metric: name of the recorded test metric.

    Returns:
        The gap; None if the run did not record ``track_test/<metric>``.

    Raises:
        UserError: if the file cannot be read, lacks this epoch, or has a value that is not a number.

    Example:
        >>> rows = [{"epoch": i, "track_test/accuracy": v} for i, v in enumerate((0.5, 0.7, 0.6))]
        >>> gap = optimism_gap(rows, selection_epoch=2)
        >>> gap.val_selected, gap.best_on_test, round(gap.mean_of_last_five, 3), round(gap.gap, 3)
        (0.6, 0.7, 0.6, 0.1)
    """
    column = f"track_test/{metric}"
    found: dict[int, float] = {}
    for row in read_rows(history):
        epoch, value = str(row.get("epoch") or "0"), row.get(column)
        if epoch.isdigit() and value not in (None, ""):
            try:
                found[int(epoch)] = float(str(value))
            except ValueError:
                raise UserError(f"{column} of epoch {int(epoch) + 1} is {value!r}, not a number.") from None
    if not found:
        return None
    if selection_epoch not in found:
        raise UserError(
            f"There is no {column} for the selected epoch {selection_epoch + 1}, only for epochs from {min(found) + 1} "
            f"to {max(found) + 1}."
        )
    last = [found[epoch] for epoch in sorted(found)[-LAST:]]
    best, chosen = max(found.values()), found[selection_epoch]
    return OptimismGap(chosen, best, sum(last) / len(last), best - chosen)
