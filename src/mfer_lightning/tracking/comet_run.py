"""Log a run to Comet: one experiment per run folder, offline if there is no key."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CometLogger
from lightning.pytorch.utilities import rank_zero_only

from mfer_lightning.files import write_text
from mfer_lightning.tracking import names
from mfer_lightning.tracking.open_loggers import FINISHED
from mfer_lightning.tracking.publication import Publication
from mfer_lightning.tracking.run_logger import RunLogger

#: Where a run folder keeps the key of its experiment, so that a run that is continued goes on under it.
ID_FILE = "comet_key.txt"
FOLDER = "comet"

#: Nothing is printed, and nothing stored that nobody asked for.
_QUIET = {
    "display_summary_level": 0,
    "log_code": False,
    "log_git_metadata": False,
    "log_git_patch": False,
    "parse_args": False,
    "auto_output_logging": False,
    "auto_param_logging": False,
    "auto_metric_logging": False,
}


class RunCometLogger(RunLogger, CometLogger):  # type: ignore[misc] # its log_metrics takes tensors too
    """Lightning's Comet logger for one run folder, started with the run and not before.

    Args:
        run_dir: the run's folder; offline archives go into its ``comet/``, one folder a start.
        config: plain resolved configuration, logged as parameters.
        images: whether faces may be handed over.
        checkpoints: whether the selected checkpoint is handed over.
        online: None: where there is a key.
        **options: further arguments of Lightning's class and of ``comet_ml.ExperimentConfig``.
    """

    service = "Comet"

    def __init__(
        self,
        run_dir: Path,
        config: Mapping[str, Any],
        *,
        images: bool = True,
        checkpoints: bool = False,
        online: bool | None = None,
        **options: Any,
    ) -> None:
        import comet_ml

        logging.getLogger("comet_ml").setLevel(logging.ERROR)
        self._started = False
        if online is None:
            online = bool(comet_ml.get_config("comet.api_key"))
        path = run_dir / ID_FILE
        known = path.read_text(encoding="utf-8").strip() if path.is_file() else None
        # archives are named by a random number, which is the same at each start of a seeded run: a folder for each
        folder = str((run_dir / FOLDER).resolve() / str(len(list((run_dir / FOLDER).glob("*")))))
        further = {"mode": "get_or_create", "name": run_dir.name, "offline_directory": folder, **_QUIET, **options}
        super().__init__(online=online, experiment_key=known or uuid.uuid4().hex, **further)
        # Lightning turns an experiment off that is not online, so that its offline archive would stay empty
        self._comet_config = comet_ml.ExperimentConfig(**self._kwargs)
        self.run_dir = run_dir
        self.config = config
        self.images = images
        self.checkpoints = checkpoints

    def _create_experiment(self) -> None:
        if self._started:  # not by Lightning's constructor, on every rank
            super()._create_experiment()

    @rank_zero_only
    def start(self, facts: Mapping[str, Any]) -> None:
        """Start the experiment, or go on with it."""
        self._started = True
        self._quietly(lambda: self._start(facts))

    def _start(self, facts: Mapping[str, Any]) -> None:
        Path(str(self.save_dir)).mkdir(parents=True, exist_ok=True)
        experiment = self.experiment
        write_text(self.run_dir / ID_FILE, f"{self._experiment_key}\n")
        CometLogger.log_hyperparams(self, dict(self.config))
        group = names.run_group(self.config, self.run_dir)
        experiment.log_others({**{k: str(v) for k, v in facts.items()}, **({} if group is None else {"group": group})})

    def _log(self, metrics: dict[str, float], step: int | None) -> None:
        epoch = metrics.get(names.EPOCH)
        CometLogger.log_metrics(self, metrics, step if epoch is None else int(epoch))

    def _publish(self, publication: Publication) -> None:
        experiment, result, step = self.experiment, publication.result, len(publication.curves)
        CometLogger.log_metrics(self, publication.points(), step)
        for name, curve in publication.test_curves().items():
            for epoch, value in curve:
                experiment.log_metric(name, value, step=epoch)
        experiment.log_confusion_matrix(
            matrix=result["confusion"],
            labels=list(result["class_names"]),
            title=f"{result['protocol']}, {result['split']}",
        )
        for name, path in publication.figures.items():
            experiment.log_image(str(path), names.picture(name))
        if publication.examples is not None:
            experiment.log_image(str(publication.examples.grid), names.EXAMPLE_GRID)
        if publication.checkpoint is not None:
            experiment.log_model(self.run_dir.name, str(publication.checkpoint))

    @rank_zero_only
    def finish(self, code: int, *, preempted: bool = False) -> None:
        """End the experiment; offline it becomes an archive."""
        experiment, self._experiment = self._experiment, None
        self._started = False
        if experiment is None:
            return
        self._quietly(experiment.end)
        if code == FINISHED and not self._failed:
            offline = self._online is False
            print(
                f"Comet, offline: upload with  comet upload {self.run_dir / FOLDER}/*/*.zip"
                if offline
                else f"Comet: {experiment.url}",
                flush=True,
            )
