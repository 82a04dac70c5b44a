"""Common behaviour of a run's loggers: withhold test metrics, start and end with the run, and never stop it."""

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
    """Mixin for Lightning's logger classes, as in ``class RunWandbLogger(RunLogger, WandbLogger)``.

    - An error of the service is written to ``log.txt`` and printed once, and the run continues.
    - Per-epoch test metrics (``track_test=true``) are withheld until the run has ended.
    """

    #: Name of the service in messages.
    service = "The logger"
    #: Whether to retry the service after an error; waiting for an unreachable server would delay each epoch.
    tries_again = False
    #: Whether faces, and the selected checkpoint, may be uploaded.
    images = checkpoints = False
    _failed = False

    @property
    def experiment(self) -> Any:
        """The experiment of Lightning's class; raises ``AttributeError`` if the service has failed."""
        if not self._failed or self.tries_again:
            try:
                return super().experiment  # type: ignore[misc]
            except AttributeError:
                raise
            except Exception as error:
                self._fail(error)
        raise AttributeError(f"{self.service} failed, and the run continues without it.")

    @rank_zero_only
    def start(self, facts: Mapping[str, Any]) -> None:
        """Start logging when the run starts; by default, there is nothing to do.

        Args:
            facts: properties of the run that are not in its configuration
                (:data:`mfer_lightning.tracking.names.FACTS`).
        """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, except those that are withheld until the run has ended."""
        shown = {name: value for name, value in metrics.items() if not name.startswith(names.HIDDEN_PREFIX)}
        self._quietly(lambda: self._log(shown, step))

    def _log(self, metrics: dict[str, float], step: int | None) -> None:
        super().log_metrics(metrics, step)  # type: ignore[safe-super]

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Call the method of Lightning's class; errors of the service do not stop the run."""
        self._quietly(lambda: super(RunLogger, self).log_hyperparams(*args, **kwargs))  # type: ignore[safe-super]

    def save(self) -> None:
        """Call the method of Lightning's class; errors of the service do not stop the run."""
        self._quietly(super().save)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Call the method of Lightning's class; errors of the service do not stop the run."""
        self._quietly(lambda: super(RunLogger, self).after_save_checkpoint(checkpoint_callback))

    def finalize(self, status: str) -> None:
        """Call the method of Lightning's class; errors of the service do not stop the run."""
        self._quietly(lambda: super(RunLogger, self).finalize(status))

    @rank_zero_only
    def publish(self, publication: Publication) -> None:
        """Log the data of a finished run."""
        self._quietly(lambda: self._publish(publication))

    def _publish(self, publication: Publication) -> None:
        super().log_metrics(publication.points(), len(publication.curves))  # type: ignore[safe-super]

    @rank_zero_only
    def finish(self, code: int, *, preempted: bool = False) -> None:
        """End logging when the run ends; by default, save what has been logged.

        Args:
            code: an exit code of :mod:`mfer_lightning.tracking.open_loggers`: 0 if the run finished.
            preempted: whether it was stopped from outside and will be resumed.
        """
        self.save()

    def _quietly(self, action: Callable[[], Any]) -> None:
        """Call the service; a failure is logged once, and does not stop the run."""
        if self._failed and not self.tries_again:
            return
        try:
            action()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            log.warning("%s failed, and the run continues without it: %s", self.service, error, exc_info=True)
            print(f"{self.service} failed, and the run continues without it ({first_line(error)}).", flush=True)
        self._failed = True


def first_line(error: BaseException) -> str:
    """Return the first line of an error message, as a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if text.endswith((".", "!", "?")) else text + "."
