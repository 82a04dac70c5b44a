"""Isolate the jobs of a sweep: each has its own command line, process group, environment and output.

Lightning starts the further ranks of a distributed job by running the main module with ``sys.argv`` again. Inside a
sweep that would be the whole sweep, and in a process that joblib or submitit started, their own program; here it is the
one job. Afterwards nothing of the job's process group is left for the next.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mfer_lightning.config.environment import restored

#: What a distributed job leaves in the environment, which would make the next one believe it is a child of it.
LEFTOVERS = (
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "GROUP_RANK",
    "RANK",
    "PL_GLOBAL_SEED",
)


@contextmanager
def isolated_job(overrides: Sequence[str], flags: Sequence[str] = ()) -> Iterator[None]:
    """Make the process look, for the duration of a block, as if it had been started for one job alone.

    Args:
        overrides: the job's own overrides, e.g. ``["loss=ce", "seed=0"]``.
        flags: what else the command line said, e.g. ``["--config-dir", "conf"]``.
    """
    import __main__

    argv, spec = sys.argv, __main__.__spec__
    started_by = multiprocessing.get_start_method(allow_none=True)
    sys.argv = [argv[0], *flags, *overrides, "hydra.mode=RUN"]
    __main__.__spec__ = importlib.util.find_spec("mfer_lightning.__main__")
    if str(started_by).startswith("loky"):  # joblib's own way of starting processes, which a DataLoader cannot use
        multiprocessing.set_start_method(None, force=True)
    with restored(*LEFTOVERS):
        try:
            yield
        finally:
            sys.argv, __main__.__spec__ = argv, spec
            multiprocessing.set_start_method(started_by, force=True)
            if "torch" in sys.modules:
                import torch.distributed

                if torch.distributed.is_available() and torch.distributed.is_initialized():
                    torch.distributed.destroy_process_group()


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Send what this process and those that it starts print into a file, for the duration of a block.

    Args:
        path: appended to; its folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        kept = [(number, os.dup(number)) for number in (1, 2)]
        try:
            for number, _ in kept:
                os.dup2(file.fileno(), number)
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
