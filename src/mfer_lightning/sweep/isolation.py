"""Each job of a sweep on its own: its command line, its process group, its environment.

Lightning starts the further ranks of a distributed job by running ``sys.argv`` again. Inside a sweep that would be the
whole sweep; here it is the one job. Afterwards nothing of the job's process group is left for the next.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
    argv = sys.argv
    before = {name: os.environ.get(name) for name in LEFTOVERS}
    sys.argv = [argv[0], *flags, *overrides, "hydra.mode=RUN"]
    try:
        yield
    finally:
        sys.argv = argv
        if "torch" in sys.modules:
            import torch.distributed

            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
