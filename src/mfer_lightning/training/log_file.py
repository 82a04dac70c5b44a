"""Log file of a run: log messages and warnings go to ``log.txt`` instead of the screen."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mfer_lightning.errors import TrialPrunedError, UserError

log = logging.getLogger("mfer_lightning")

_LOGGERS = ("mfer_lightning", "lightning", "lightning.pytorch", "lightning.fabric", "py.warnings")


class _QuietHandler(logging.FileHandler):
    """Ignore errors of the log file, because the code that writes the results reports a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        pass


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Write the log messages of a block to a file, and the error that ended the block, if any.

    Args:
        path: log file; messages are appended.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    handler = _QuietHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(x.handlers[:], x.propagate, x.level) for x in loggers]
    for x in loggers:
        x.handlers, x.propagate = [handler], False
        x.setLevel(min(logging.INFO, x.level or logging.INFO, logging.root.level or logging.INFO))  # hydra.verbose=true
    logging.captureWarnings(True)
    warnings.filterwarnings("default")
    log.info("started: %s", " ".join(sys.argv[1:]))
    try:
        yield
    except BaseException as error:
        expected = isinstance(error, (UserError, TrialPrunedError, KeyboardInterrupt))
        log.error("ended by %s: %s", type(error).__name__, error, exc_info=None if expected else error)
        raise
    finally:
        logging.captureWarnings(False)
        for x, (handlers, propagate, level) in zip(loggers, before, strict=True):
            x.handlers, x.propagate = handlers, propagate
            x.setLevel(level)
        with suppress(OSError):  # the disk may be full
            handler.close()
