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

#: File in a run folder with the key of its experiment, so that a resumed run continues it.
ID_FILE = "comet_key.txt"
FOLDER = "comet"

#: Turn off printing, and logging that was not requested.
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
    """Lightning's Comet logger for one run folder, started only when the run starts.

    Args:
        run_dir: the run's folder; offline archives go into its ``comet/``, in one folder per invocation.
        config: plain resolved configuration, logged as parameters.
        images: whether faces may be uploaded.
        checkpoints: whether to upload the selected checkpoint.
        online: whether to log online; None: if there is a key.
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
        # archives have random names, which repeat if a seeded run is started again, so each invocation gets a folder
        folder = str((run_dir / FOLDER).resolve() / str(len(list((run_dir / FOLDER).glob("*")))))
        further = {"mode": "get_or_create", "name": run_dir.name, "offline_directory": folder, **_QUIET, **options}
        super().__init__(online=online, experiment_key=known or uuid.uuid4().hex, **further)
        # Lightning turns off experiments that are not online, so their offline archives would stay empty
        self._comet_config = comet_ml.ExperimentConfig(**self._kwargs)
        self.run_dir = run_dir
        self.config = config
        self.images = images
        self.checkpoints = checkpoints

    def _create_experiment(self) -> None:
        if self._started:  # not in Lightning's constructor, which runs on every rank
            super()._create_experiment()

    @rank_zero_only
    def start(self, facts: Mapping[str, Any]) -> None:
        """Start or continue the experiment."""
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
        """End the experiment; offline, this writes an archive."""
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
