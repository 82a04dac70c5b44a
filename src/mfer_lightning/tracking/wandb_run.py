"""Log a run to Weights & Biases: one W&B run per run folder, silently, without ever stopping the training."""

from __future__ import annotations

import logging
import re
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from mfer_lightning.errors import UserError
from mfer_lightning.files import write_text
from mfer_lightning.tracking import names
from mfer_lightning.tracking.publication import Publication
from mfer_lightning.tracking.run_logger import RunLogger, first_line

log = logging.getLogger("mfer_lightning")

#: File in a run folder with the id of its W&B run.
ID_FILE = "wandb_id.txt"
#: Seconds to wait for the upload at the end of a run; the rest stays on disk for ``wandb sync``.
UPLOAD_SECONDS = 600.0


def read_id(run_dir: Path) -> str | None:
    """Read the id of a W&B run from a run folder, so that a resumed run continues the same W&B run.

    The id is created when the run first starts. It is random rather than a hash of the folder's name, because W&B
    rejects the id of a deleted run, and two people may run the same configuration in one project.
    """
    path = run_dir / ID_FILE
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


class RunWandbLogger(RunLogger, WandbLogger):
    """Lightning's W&B logger for one run folder, with the epoch as the x-axis and one row per epoch.

    Besides the changes of :class:`.RunLogger`, it differs from Lightning's class as follows:

    - it hides W&B's own output and never prompts; if W&B cannot be reached at the start, the run is logged offline;
    - it stores neither the caller's source code nor the state of the caller's git repository.

    Args:
        run_dir: the run's folder.
        config: plain resolved configuration.
        project: W&B project.
        entity: W&B user or team; None: the user's default.
        group: the sweep's name, or None.
        tags: tags of at most 64 characters.
        mode: ``online``, ``offline`` or ``disabled``.
        images: whether faces may be uploaded.
        checkpoints: whether to upload the selected checkpoint.
        **options: further arguments of Lightning's class and of ``wandb.init``.
    """

    service = "W&B"
    tries_again = True

    def __init__(
        self,
        run_dir: Path,
        config: Mapping[str, Any],
        *,
        project: str,
        entity: str | None,
        group: str | None,
        tags: list[str],
        mode: str,
        images: bool,
        checkpoints: bool,
        **options: Any,
    ) -> None:
        usual = {
            "name": run_dir.name,
            "save_dir": str(run_dir.resolve()),  # W&B's process may have another working directory
            "job_type": "train",
        }
        super().__init__(
            project=project,
            entity=entity,
            group=group,
            tags=tags,
            config=dict(config),
            mode=mode,
            reinit="create_new",
            **{**usual, **options},
        )
        self.run_dir = run_dir
        self.images = images
        self.checkpoints = checkpoints

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started on first access; on ranks other than the first, a dummy object."""
        if self._experiment is None:
            known = read_id(self.run_dir)
            self._experiment = self._open(known or _new_id())
            if known is None:
                write_text(self.run_dir / ID_FILE, f"{self._experiment.id}\n")
            self._experiment.define_metric(names.EPOCH, hidden=True)
            self._experiment.define_metric("*", step_metric=names.EPOCH, step_sync=True)
        return self._experiment

    def _open(self, name: str) -> Any:
        import wandb
        from wandb.errors import AuthenticationError, CommError, UsageError

        quiet = {"silent": True, "console": "off", "save_code": False, "disable_code": True, "disable_git": True}
        quiet |= {"finish_timeout": UPLOAD_SECONDS}  # only in newer versions
        settings = wandb.Settings(**{k: v for k, v in quiet.items() if k in wandb.Settings.model_fields})
        options = {**self._wandb_init, "id": name, "settings": settings}
        options.pop("anonymous", None)
        wandb.setup(settings=wandb.Settings(silent=True))  # the login, which comes first, reads only these settings
        try:
            return wandb.init(**options)
        except (AuthenticationError, UsageError, CommError, TimeoutError) as error:
            said = first_line(error)
            if isinstance(error, (AuthenticationError, UsageError)):
                advice = "Log in with `wandb login`, or use logger.mode=offline."
                raise UserError(f"W&B rejects the run: {said} {advice}") from error
            if isinstance(error, CommError) and re.search("permission|not found", str(error), re.IGNORECASE):
                advice = f"Check logger.entity={options['entity']} and logger.project={options['project']}."
                raise UserError(f"W&B rejects the run: {said} {advice}") from error
            message = f"W&B cannot be reached ({said}): this run is logged offline."
        log.warning(message)
        print(message, flush=True)
        if wandb.run is None:
            wandb.teardown()  # its process still holds the id of the run that could not be started
        else:  # the caller's run, which must not be ended here
            options["id"] = _new_id()
        return wandb.init(**{**options, "mode": "offline"})

    @rank_zero_only
    def start(self, facts: Mapping[str, Any]) -> None:
        """Start the W&B run and add properties that are known only after building the run.

        Raises:
            UserError: if W&B rejects the run.
        """
        run = self.experiment
        self._quietly(lambda: run.config.update(dict(facts), allow_val_change=True))

    def _log(self, metrics: dict[str, float], step: int | None) -> None:
        prefix = f"{self._prefix}{self.LOGGER_JOIN_CHAR}" if self._prefix else ""
        named = {key if key == names.EPOCH else f"{prefix}{key}": value for key, value in metrics.items()}
        self.experiment.log(named, step=step)  # in the row of the epoch

    def _publish(self, publication: Publication) -> None:
        from mfer_lightning.tracking.wandb_media import checkpoint_artifact, media

        run = self.experiment
        run.config.update({names.SPLIT: publication.result["split"]}, allow_val_change=True)
        run.log(media(publication))
        run.summary.update(publication.summary())
        if publication.checkpoint is not None:
            run.log_artifact(checkpoint_artifact(publication, self.run_dir.name), aliases=["best"])

    @rank_zero_only
    def finish(self, code: int, *, preempted: bool = False) -> None:
        """End the W&B run.

        Args:
            code: 0 if the run finished.
            preempted: whether it was stopped from outside and will be continued.
        """
        run, self._experiment = self._experiment, None
        if run is None:
            return
        if preempted:
            self._quietly(run.mark_preempting)
        offline = run.offline
        url = None if offline else run.url
        self._quietly(lambda: run.finish(exit_code=code))
        # W&B leaves temporary folders until the end of the process, when Python would print warnings about them
        warnings.filterwarnings("ignore", message="Implicitly cleaning up", category=ResourceWarning)
        if code == 0 and offline:
            print(f"W&B, offline: upload with  wandb sync {self.run_dir}/wandb/offline-run-*", flush=True)
        elif code == 0 and url:
            print(f"W&B: {url}", flush=True)


def _new_id() -> str:
    return uuid.uuid4().hex[:12]
