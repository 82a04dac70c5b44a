"""A run as an object, as returned by ``train`` and ``sweep``: its folder, result, predictions and model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import yaml

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.intervals import result_interval
from mfer_lightning.evaluation.metrics_csv import read_rows
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.runs import CONFIG, METRICS, RESULT, UNFINISHED, LeftOut, StoredResult, read_folder
from mfer_lightning.inference.checkpoint import checkpoint_path
from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.plurals import counted


class Run:
    """A run, usually finished. It can be passed wherever a checkpoint is expected; its selected checkpoint is used.

    No file is read before it is needed.

    Args:
        folder: the run's folder.

    Raises:
        UserError: if there is no such folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise UserError(f"There is no run {self.folder}. Runs are folders such as runs/<run>.")

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @cached_property
    def _stored(self) -> StoredResult:
        found = read_folder(self.folder)
        if isinstance(found, LeftOut):
            reason = found.reason if (self.folder / RESULT).is_file() else UNFINISHED
            raise UserError(f"The run {self.folder} {reason}.")
        return found

    @property
    def result(self) -> dict[str, Any]:
        """The content of ``result.json``.

        Raises:
            UserError: if there is no usable result, e.g. because the run has not ended.
        """
        return dict(self._stored.result)

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of the reported split: accuracy, mean-class accuracy, ..."""
        return dict(self._stored.result["metrics"])

    @property
    def config(self) -> dict[str, Any]:
        """The composed configuration."""
        loaded: dict[str, Any] = yaml.safe_load((self.folder / CONFIG).read_text(encoding="utf-8"))
        return loaded

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.csv``, one per epoch."""
        return [dict(row) for row in read_rows(self.folder / METRICS)]

    @property
    def checkpoint(self) -> Path:
        """The selected checkpoint."""
        return checkpoint_path(self.folder)

    @cached_property
    def model(self) -> FERModel:
        """The network with the selected checkpoint's weights, for aligned faces; for photos, use ``predict``."""
        return read_model(self.folder)

    def predictions(self, split: str | None = None) -> Predictions:
        """Read the table of predictions.

        Args:
            split: ``"val"`` or ``"test"``; None: the reported one.

        Raises:
            UserError: if there is none.
        """
        try:
            return self._stored.predictions(split)
        except ValueError as error:
            raise UserError(f"The run {self.folder} {error}.") from error

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        if not (self.folder / RESULT).is_file():
            return f"Run({self.folder}: no result)"
        return f"Run({self.folder}: {in_words(self.result)})"


def in_words(result: Mapping[str, Any]) -> str:
    """Format the main results in one line, with 95% intervals.

    Args:
        result: the content of a ``result.json``.
    """
    figures = []
    for metric, name in (("accuracy", "accuracy"), ("mean_class_accuracy", "mean-class accuracy")):
        value, ends = result["metrics"][metric], result_interval(result, metric)
        if value is not None:
            figures.append(f"{name} {value:.1%}" + (f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else ""))
    where = f" of {result['protocol']}, {result['split']}" if "protocol" in result else ""
    return f"{', '.join(figures)} on {counted(result['n'], 'face')}{where}"


@dataclass(frozen=True, eq=False)
class SweepRuns(Sequence[Run]):
    """The finished runs of a sweep, in the order of its jobs.

    Args:
        folder: folder of the sweep.
        rows: one mapping per job, finished or not: the values of the varied options, ``seed``, ``status``, ``error``,
            ``run`` (a :class:`Run`, or None), and the metrics of its reported split. ``pandas.DataFrame(sweep.rows)``
            is a table of all jobs.
        failures: overrides of a job -> the reason why it has no result.
    """

    folder: Path
    rows: Sequence[Mapping[str, Any]]
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The finished runs."""
        return tuple(row["run"] for row in self.rows if row["run"] is not None)

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Run, ...]: ...
    def __getitem__(self, index: int | slice) -> Run | tuple[Run, ...]:
        return self.runs[index]

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        lines = [f"SweepRuns({self.folder}: {counted(len(self), 'run')}, {len(self.failures)} failed)"]
        lines += [f"  {run!r}" for run in self]
        lines += [f"  failed: {job}: {reason}" for job, reason in self.failures.items()]
        return "\n".join(lines)
