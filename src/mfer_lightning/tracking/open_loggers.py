"""Open the loggers for the duration of a run, and close them however it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mfer_lightning.tracking.run_logger import RunLogger

#: Exit codes reported by the loggers: finished, failed, and killed by the user.
FINISHED, FAILED, KILLED = 0, 1, 255
#: Exit code of a process ended by SIGTERM, which clusters send to preempt a job; the run is expected to be resumed.
TERMINATED = 143


@contextmanager
def tracked(loggers: Sequence[Logger], facts: Mapping[str, Any]) -> Iterator[None]:
    """Open the loggers for a run, and close them with its outcome: finished, failed, killed or preempted.

    The next job of a sweep then starts its own W&B run.

    Args:
        loggers: loggers of the trainer.
        facts: properties of the run that are not in its configuration (:data:`mfer_lightning.tracking.names.FACTS`).

    Raises:
        UserError: if W&B rejects the run (a wrong key, an unknown entity).
    """
    runs = [logger for logger in loggers if isinstance(logger, RunLogger)]
    code, preempted = FAILED, False
    try:
        for run in runs:
            run.start(facts)
        yield
        code = FINISHED
    except KeyboardInterrupt:
        code = KILLED
        raise
    except SystemExit as stop:
        preempted = isinstance(stop, SIGTERMException) or stop.code == TERMINATED
        code = FAILED if preempted else KILLED  # Lightning converts Ctrl-C to SystemExit
        raise
    finally:
        for run in runs:
            run.finish(code, preempted=preempted)
