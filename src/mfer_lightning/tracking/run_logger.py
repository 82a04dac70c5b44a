"""What every logger of a run does: hold test figures back, start and end with the run, and never stop it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from mfer_lightning.tracking import names
from mfer_lightning.tracking.publication import Publication

log = logging.getLogger("mfer_lightning")


class RunLogger(Logger):
    """Stands before a logger class of Lightning's, ``class RunWandbLogger(RunLogger, WandbLogger)``, and calls it.

    - An error of the service is written to ``log.txt`` and said once, and the run goes on.
    - Per-epoch test figures (``track_test=true``) are held back until the run has ended.
    """

    #: What the service is called in messages.
    service = "The logger"
    #: Whether the service is tried again after an error; a call that waits for a dead server would delay each epoch.
    tries_again = False
    #: Whether faces, and the selected checkpoint, may be handed over.
    images = checkpoints = False
    _failed = False

    @property
    def experiment(self) -> Any:
        """As Lightning's class has it; where the service has failed there is none (``AttributeError``)."""
        if not self._failed or self.tries_again:
            try:
                return super().experiment  # type: ignore[misc]
            except AttributeError:
                raise
            except Exception as error:
                self._fail(error)
        raise AttributeError(f"{self.service} failed, and the run goes on without it.")

    @rank_zero_only
    def start(self, facts: Mapping[str, Any]) -> None:
        """Start with the run.

        Args:
            facts: what the configuration does not say of the run (:data:`mfer_lightning.tracking.names.FACTS`).
        """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures of a training step, without those that are held back until the run has ended."""
        shown = {name: value for name, value in metrics.items() if not name.startswith(names.HIDDEN_PREFIX)}
        self._quietly(lambda: self._log(shown, step))

    def _log(self, metrics: dict[str, float], step: int | None) -> None:
        super().log_metrics(metrics, step)  # type: ignore[safe-super]

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """As Lightning's class does."""
        self._quietly(lambda: super(RunLogger, self).log_hyperparams(*args, **kwargs))  # type: ignore[safe-super]

    def save(self) -> None:
        """As Lightning's class does."""
        self._quietly(super().save)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """As Lightning's class does."""
        self._quietly(lambda: super(RunLogger, self).after_save_checkpoint(checkpoint_callback))

    def finalize(self, status: str) -> None:
        """As Lightning's class does."""
        self._quietly(lambda: super(RunLogger, self).finalize(status))

    @rank_zero_only
    def publish(self, publication: Publication) -> None:
        """Log what a finished run has."""
        self._quietly(lambda: self._publish(publication))

    def _publish(self, publication: Publication) -> None:
        super().log_metrics(publication.points(), len(publication.curves))  # type: ignore[safe-super]

    @rank_zero_only
    def finish(self, code: int, *, preempted: bool = False) -> None:
        """End with the run.

        Args:
            code: an exit code of :mod:`mfer_lightning.tracking.open_loggers`: 0 if the run finished.
            preempted: whether it was stopped from outside and will be continued.
        """
        self.save()

    def _quietly(self, action: Callable[[], Any]) -> None:
        """Do something with the service; a failure is written to the log once, and does not stop the run."""
        if self._failed and not self.tries_again:
            return
        try:
            action()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            log.warning("%s failed, and the run goes on without it: %s", self.service, error, exc_info=True)
            print(f"{self.service} failed, and the run goes on without it ({first_line(error)}).", flush=True)
        self._failed = True


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, as a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if text.endswith((".", "!", "?")) else text + "."
