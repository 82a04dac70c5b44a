"""The finished runs that a dashboard is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import is_training, read_result, result_files
from mfer_lightning.tracking import names


@dataclass(frozen=True)
class FinishedRun:
    """One finished run.

    Args:
        folder: the run's.
        result: the content of its ``result.json``.
        setting: everything but the seed, in short.
    """

    folder: Path
    result: Mapping[str, Any]
    setting: str

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration it was trained with."""
        config: Mapping[str, Any] = self.result["config"]
        return config

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.result["seed"])

    @property
    def loss(self) -> str:
        """Name of its loss."""
        return str(self.config["loss"]["name"])

    @property
    def backbone(self) -> str:
        """Name of its backbone."""
        return str(self.config["backbone"]["name"])

    @property
    def group(self) -> str | None:
        """The sweep it belongs to."""
        return names.run_group(self.config, self.folder)

    @property
    def at_wandb(self) -> bool:
        """Whether it was logged to W&B, online or offline."""
        return bool(self.config["logger"]["name"] == "wandb")

    def metric(self, name: str) -> float | None:
        """A figure of the reported split, None where it is undefined."""
        value = self.result["metrics"].get(name)
        return None if value is None else float(value)


def read_runs(folders: Sequence[str], setting: Callable[[Mapping[str, Any]], str]) -> list[FinishedRun]:
    """Find the finished runs in folders: runs, sweeps, or folders of them.

    Args:
        folders: at least one.
        setting: says of a configuration in short what it is but for its seed.

    Returns:
        The runs in the order of their folders' names, each once. Results of later evaluations are not runs.

    Raises:
        UserError: where a folder is missing, holds no finished run, or a result cannot be read.
    """
    found: dict[Path, FinishedRun] = {}
    for name in folders:
        paths = [path for path in result_files(name) if is_training(path.parent)]
        if not paths:
            raise UserError(f"{name} holds no finished run: a finished run has a result.json and a config.yaml.")
        for path in paths:
            if path.resolve() not in found:
                result = _read(path)
                found[path.resolve()] = FinishedRun(path.parent, result, setting(result["config"]))
    return list(found.values())


def _read(path: Path) -> Mapping[str, Any]:
    try:
        result = read_result(path)
        for node in ("loss", "backbone", "attention", "logger", "paths"):
            result["config"][node]
    except ValueError as error:
        raise UserError(f"{path} cannot be read: its folder {error}.") from error
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: its configuration has no node {error}.") from error
    return result


def by_protocol(runs: Sequence[FinishedRun]) -> dict[tuple[str, str], list[FinishedRun]]:
    """Sort runs by protocol and reported split: figures of different ones are never put together."""
    groups: dict[tuple[str, str], list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault((run.result["protocol"], run.result["split"]), []).append(run)
    return groups
