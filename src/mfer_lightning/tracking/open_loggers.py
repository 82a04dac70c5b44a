"""Open the loggers for the duration of a run, and close them however it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mfer_lightning.tracking.run_logger import RunLogger

#: Exit codes that the loggers report: finished, failed, and killed by its user.
FINISHED, FAILED, KILLED = 0, 1, 255
#: Exit code of a process that SIGTERM ended: a cluster wants the machine back, and the run will be continued.
TERMINATED = 143


@contextmanager
def tracked(loggers: Sequence[Logger], facts: Mapping[str, Any]) -> Iterator[None]:
    """Open the loggers for the duration of a run, and close them as it ended: finished, failed, killed or pre-empted.

    The next job of a sweep then starts its own W&B run.

    Args:
        loggers: the trainer's.
        facts: what the configuration does not say of the run (:data:`mfer_lightning.tracking.names.FACTS`).

    Raises:
        UserError: if W&B refuses the run (a wrong key, an unknown entity).
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
        code = FAILED if preempted else KILLED  # Lightning makes a SystemExit of Ctrl-C
        raise
    finally:
        for run in runs:
            run.finish(code, preempted=preempted)
