"""Log a run to MLflow: one MLflow run per run folder, in a database in the folder unless another URI is given."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only

from mfer_lightning.files import write_text
from mfer_lightning.tracking import names
from mfer_lightning.tracking.dashboards.tables import markdown
from mfer_lightning.tracking.open_loggers import FINISHED, KILLED
from mfer_lightning.tracking.publication import Publication
from mfer_lightning.tracking.run_logger import RunLogger

#: File in a run folder with the id of its MLflow run, so that a resumed run continues it.
ID_FILE = "mlflow_id.txt"
FOLDER = "mlflow"
_LONGEST_TAG = 5000


class RunMlflowLogger(RunLogger, MLFlowLogger):  # type: ignore[misc] # its finalize has a default
    """Lightning's MLflow logger for one run folder, with the epoch as the x-axis.

    Args:
        run_dir: the run's folder; without a tracking URI, the database and files go into its ``mlflow/``.
        config: plain resolved configuration, logged as parameters.
        images: whether faces may be uploaded.
        checkpoints: whether to upload the selected checkpoint.
        tracking_uri: URI of a server or database; None: ``MLFLOW_TRACKING_URI``, else a database in the run's folder.
        **options: further arguments of Lightning's class.
    """

    service = "MLflow"

    def __init__(
        self,
        run_dir: Path,
        config: Mapping[str, Any],
        *,
        images: bool = True,
        checkpoints: bool = False,
        tracking_uri: str | None = None,
        **options: Any,
    ) -> None:
        import mlflow  # configures its logging at import

        logging.getLogger(mlflow.__name__).setLevel(logging.WARNING)
        uri, folder = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"), (run_dir / FOLDER).resolve()
        if not uri:
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{folder}/mlflow.db"
            options = {"artifact_location": (folder / "artifacts").as_uri(), **options}
        path = run_dir / ID_FILE
        known = path.read_text(encoding="utf-8").strip() if path.is_file() else None
        super().__init__(tracking_uri=uri, run_id=known, **{"run_name": run_dir.name, **options})
        self.run_dir = run_dir
        self.config = config
        self.images = images
        self.checkpoints = checkpoints
        self._known = known is not None

    @property
    def name(self) -> str:
        """Name of the experiment; Lightning's class would ask the server for its id."""
        return self._experiment_name

    @property
    def version(self) -> str | None:
        """Id of the run, once it has started."""
        return self._run_id

    @rank_zero_only
    def start(self, facts: Mapping[str, Any]) -> None:
        """Start or continue the MLflow run; parameters cannot change and are logged once."""
        self._quietly(lambda: self._start(facts))

    def _start(self, facts: Mapping[str, Any]) -> None:
        client, run = self.experiment, str(self.run_id)
        if not self._known:
            MLFlowLogger.log_hyperparams(self, dict(self.config))
            write_text(self.run_dir / ID_FILE, f"{run}\n")
        group = names.run_group(self.config, self.run_dir)
        for name, value in {**facts, **({} if group is None else {"group": group})}.items():
            client.set_tag(run, name, str(value)[:_LONGEST_TAG])

    def _log(self, metrics: dict[str, float], step: int | None) -> None:
        epoch = metrics.pop(names.EPOCH, step)
        MLFlowLogger.log_metrics(self, metrics, None if epoch is None else int(epoch))

    def _publish(self, publication: Publication) -> None:
        client, run, result = self.experiment, str(self.run_id), publication.result
        MLFlowLogger.log_metrics(self, publication.points(), len(publication.curves))
        for name, curve in publication.test_curves().items():
            for epoch, value in curve:
                client.log_metric(run, name, value, step=epoch)
        client.log_dict(run, {k: v for k, v in result.items() if k != "config"}, "result.json")
        rows = [[str(value) for value in row[:5]] for row in publication.class_rows()]
        table = markdown(names.CLASS_COLUMNS[:5], rows)
        client.log_text(run, table, f"{names.class_table(result['split'])}.md")
        for path in publication.figures.values():
            client.log_artifact(run, str(path), names.FIGURE_PREFIX.rstrip("/"))
        if publication.examples is not None:
            client.log_artifact(run, str(publication.examples.grid), "examples")
        if publication.checkpoint is not None:
            client.log_artifact(run, str(publication.checkpoint), "checkpoints")

    @rank_zero_only
    def finish(self, code: int, *, preempted: bool = False) -> None:
        """End the MLflow run with the status of the run."""
        if self._initialized:
            status = {FINISHED: "FINISHED", KILLED: "KILLED"}.get(code, "FAILED")
            self._quietly(lambda: self.experiment.set_terminated(str(self.run_id), status))
            if code == FINISHED and not self._failed:
                print(f"MLflow: mlflow ui --backend-store-uri {self._tracking_uri}", flush=True)
