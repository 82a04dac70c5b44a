"""The return value of an evaluation: the results as a mapping, their predictions, and the folder, if any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.inference.trained_run import in_words


class Evaluated(Mapping[str, Any]):
    """The result of an evaluation, as a mapping: e.g. ``result["metrics"]["accuracy"]``.

    Args:
        result: the content of ``result.json`` (or ``evaluation.json``, ``robustness.json``, ``explain.json``).
        folder: folder of the result; None if nothing was written.
        predictions: the table of predictions; None for the suites robustness and explain.
    """

    def __init__(
        self, result: Mapping[str, Any], folder: Path | None = None, predictions: Predictions | None = None
    ) -> None:
        self.result = dict(result)
        self.folder = folder
        self.predictions = predictions

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics over all faces: accuracy, mean-class accuracy, ...

        Raises:
            KeyError: for the suites robustness and explain.
        """
        return dict(self.result["metrics"])

    @property
    def intervals(self) -> dict[str, list[float] | None]:
        """The 95% interval of each metric, [low, high].

        Raises:
            KeyError: for the suites robustness and explain.
        """
        return dict(self.result["intervals"])

    def __getitem__(self, key: str) -> Any:
        return self.result[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.result)

    def __len__(self) -> int:
        return len(self.result)

    def __repr__(self) -> str:
        written = "" if self.folder is None else f", in {self.folder}"
        if "metrics" not in self.result:
            return f"Evaluated(suite {self.result['suite']}{written})"
        return f"Evaluated({in_words(self.result)}{written})"
