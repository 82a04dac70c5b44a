"""Isolate the jobs of a sweep: each has its own command line, process group, environment and output.

Lightning starts the other ranks of a distributed job by running the main module again with ``sys.argv``. Inside a
sweep, this would run the whole sweep again; inside a joblib or submitit worker, it would run the program of the worker.
Therefore, the main module and ``sys.argv`` are set to those of the single job. Afterwards, the job's torch process
group is destroyed, so that the next job can create its own.
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

#: Environment variables that a distributed job leaves behind; with them, the next job would start as one of its ranks.
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
    """Make the process look as if it had been started for a single job, within a block.

    Args:
        overrides: overrides of the job, e.g. ``["loss=ce", "seed=0"]``.
        flags: other flags of the command line, e.g. ``["--config-dir", "conf"]``.
    """
    import __main__

    argv, spec = sys.argv, __main__.__spec__
    started_by = multiprocessing.get_start_method(allow_none=True)
    sys.argv = [argv[0], *flags, *overrides, "hydra.mode=RUN"]
    __main__.__spec__ = importlib.util.find_spec("mfer_lightning.__main__")
    if str(started_by).startswith("loky"):  # joblib's start method, which a DataLoader cannot use
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
    """Redirect the output of this process and its children to a file, within a block.

    Args:
        path: file to append to; its folder is created if it is missing.
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
