"""Read the finished runs of a dashboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfer_lightning.config.chosen import name_of
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import RESULT, StoredResult, find_results
from mfer_lightning.tracking import names
from mfer_lightning.tracking.choice import chosen_loggers


@dataclass(frozen=True, eq=False)
class FinishedRun(StoredResult):
    """One finished run.

    Args:
        setting: short name of the configuration without the seed.
        method: short name of the configuration without the seed and the label noise.
    """

    setting: str = ""
    method: str = ""

    @property
    def loss(self) -> str:
        """Name of the run's loss."""
        return name_of(self.config, "loss")

    @property
    def backbone(self) -> str:
        """Name of the run's backbone."""
        return name_of(self.config, "backbone")

    @property
    def noise(self) -> float:
        """Proportion of training labels that were flipped by ``dataset.label_noise``, within [0, 1]."""
        return float((self.config.get("dataset") or {}).get("label_noise") or 0.0)

    @property
    def group(self) -> str | None:
        """Name of the sweep to which the run belongs; None for a single run."""
        return names.run_group(self.config, self.folder)

    @property
    def at_wandb(self) -> bool:
        """Whether the run was logged to W&B, online or offline."""
        return "wandb" in chosen_loggers(self.config["logger"])


def read_runs(places: Sequence[str], setting: Callable[[Mapping[str, Any]], str]) -> list[FinishedRun]:
    """Find the finished runs in run folders, sweeps, folders of runs, or archives.

    Args:
        places: at least one path.
        setting: function that returns the short name of a configuration without the seed.

    Returns:
        The runs, each once, in the order of the paths, then by folder name, without results of later evaluations.

    Raises:
        UserError: if a path is missing or contains no finished run, or a result cannot be read.
    """
    runs: dict[Path, FinishedRun] = {}
    for place in places:
        found = find_results([place])
        for item in found.left_out:
            if item.folder.is_file():  # an archive
                raise UserError(f"{item.folder} {item.reason}.")
            if (item.folder / RESULT).is_file() or not item.folder.is_dir():
                raise UserError(f"{item.folder / RESULT} cannot be read: its folder {item.reason}.")
        trained = [stored for stored in found.results if stored.trained]
        if not trained:
            raise UserError(f"{place} contains no finished run. A finished run has a result.json and a config.yaml.")
        for run in trained:
            try:
                for node in ("loss", "backbone", "attention", "logger", "paths"):
                    run.config[node]
                name = setting(run.config)
                dataset = run.config.get("dataset") or {}
                clean = {**dataset, "label_noise": 0.0, "label_noise_seed": 0} if "label_noise" in dataset else dataset
                method = setting({**run.config, "dataset": clean})
            except (KeyError, TypeError) as error:
                raise UserError(
                    f"{run.folder / RESULT} cannot be read: its configuration is malformed or lacks a node ({error})."
                ) from error
            runs.setdefault(run.folder.resolve(), FinishedRun(run.folder, run.result, True, run.archived, name, method))
    return list(runs.values())


def by_protocol(runs: Sequence[FinishedRun]) -> dict[tuple[str, str], list[FinishedRun]]:
    """Group runs by protocol and reported split, because results of different groups are never combined."""
    groups: dict[tuple[str, str], list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault((run.result["protocol"], run.result["split"]), []).append(run)
    return groups
